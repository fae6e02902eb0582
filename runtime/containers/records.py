"""Keep the containers of one root: a row and a directory each, and what became of those whose monitor has gone.

::

    ROOT/containers/ID/   alive      flock held by the monitor for as long as the container runs
                          upper work the overlay's upper directory and its workdir
                          files/     hosts, hostname, resolv.conf: bound into the container
                          log        its output (logs.py)
                          socket     the monitor's socket
                          paused     there while it is frozen; names the process that has it so for a moment only
                          process    what its first process is (processfile.py)
                          started    pid and time of the start, written by the monitor
                          ran        says that there ever was one
                          stopped    says that a person asked for the end
                          exit       how it ended, written by the monitor before it lets go of `alive`

A row says `running` until somebody looks: it is true only while the lock on `alive` is held and no `exit` is there.
`reconcile` folds what monitors left into the rows. A directory without a row, whose lock is free, was left by a
command that died in the middle; it is removed. The lock on `alive` is also what makes one removal wait for another.
Whoever concludes from a free lock that a container has ended holds the lock, shared, while it acts on that: it might be
started again in between.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL

from frozen import Frozen, replace
from runtime.containers.announcing import announce_surroundings
from runtime.containers.condition import read_condition, read_journal
from runtime.containers.exits import Exit, read_exit
from runtime.containers.sweeping import sweep_groups
from runtime.errors import Conflict, NotFound, UsageError
from runtime.network.leases import release_owner
from runtime.store.leases import boot_mark, is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from runtime.containers.documents import Config, HostConfig, MountPoint
    from runtime.store import Store
    from runtime.store.database import Row

    State = Literal["created", "running", "paused", "restarting", "exited", "dead"]

_LOST = 255
_STARTING = "starting"
"""The exit code of a container whose end nobody saw, as Docker's engine has it."""


KEPT_EVENTS = 10_000
"""How many events are remembered, the latest; docker's engine forgets all but 256."""

_UNSETTLED = (
    "state = 'running' OR auto_remove AND state IN ('created', 'exited') OR instr(host_config, '\"ServiceOf\"') > 0"
)
"""The rows that may have become untrue without a command. SQLite uses the index for these very words alone."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS containers(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL UNIQUE,
        image TEXT NOT NULL,
        state TEXT NOT NULL,
        command TEXT NOT NULL,
        config TEXT NOT NULL,
        host_config TEXT NOT NULL,
        mounts TEXT NOT NULL,
        network TEXT NOT NULL,
        auto_remove INTEGER NOT NULL,
        created INTEGER NOT NULL,
        started INTEGER NOT NULL DEFAULT 0,
        finished INTEGER NOT NULL DEFAULT 0,
        pid INTEGER NOT NULL DEFAULT 0,
        monitor TEXT NOT NULL DEFAULT '',
        exit_code INTEGER NOT NULL DEFAULT 0,
        oom_killed INTEGER NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX IF NOT EXISTS containers_by_state ON containers(state)",
    # Each command looks at these, however many others there are.
    f"CREATE INDEX IF NOT EXISTS containers_unsettled ON containers(number) WHERE {_UNSETTLED}",
    """CREATE TABLE IF NOT EXISTS events(
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        time INTEGER NOT NULL,
        type TEXT NOT NULL,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        attributes TEXT NOT NULL)""",
    # Somebody who reads of the past wants the latest of it; without an end this would grow for ever.
    f"""CREATE TRIGGER IF NOT EXISTS events_end AFTER INSERT ON events WHEN new.number % {KEPT_EVENTS // 10} = 0
        BEGIN DELETE FROM events WHERE number <= new.number - {KEPT_EVENTS}; END""",
)


class Container(Frozen):
    """One row. Times are nanoseconds since the epoch, 0 for never; `path` and `args` are the command as it is run."""

    id: str
    name: str
    image: str
    state: State
    path: str
    args: tuple[str, ...]
    config: Config
    host_config: HostConfig
    mounts: tuple[MountPoint, ...]
    network: dict[str, object]
    auto_remove: bool
    created: int
    started: int
    finished: int
    pid: int
    monitor: str
    exit_code: int
    oom_killed: bool
    error: str

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id."""
        return self.id[:12]


def network_names(container: Container) -> tuple[str, ...]:
    """Return the names of the networks that a container is on, or would be."""
    host = container.host_config
    joined = host.get("Networks")
    return tuple(joined) if joined is not None else (host.get("NetworkMode") or "bridge",)


class Containers:
    """The containers of an open store; looks after what dead monitors left when it is made."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.database = store.database
        self.root = store.layout.containers
        self.database.ensure("containers", 3, _TABLES)
        self.root.mkdir(mode=0o700, exist_ok=True)
        self.reconcile()

    def directory(self, container_id: str) -> Path:
        """Give the directory of one container."""
        return self.root / container_id

    def list(self, *, running: bool = False) -> tuple[Container, ...]:
        """Return all containers, or those only that ran when somebody last looked, the youngest first."""
        chosen = "WHERE state = 'running'" if running else ""
        rows = self.database.read(f"SELECT * FROM containers {chosen} ORDER BY number DESC")
        return tuple(_container(row) for row in rows)

    def get(self, container_id: str) -> Container | None:
        """Return the container with this whole id."""
        row = self.database.one("SELECT * FROM containers WHERE id = ?", container_id)
        return None if row is None else _container(row)

    def find(self, text: str) -> Container:
        """Return the container that an id, a name or the unique beginning of an id stands for.

        Raises NotFound, and Conflict for a beginning that several share.
        """
        name = text.removeprefix("/")
        named = "SELECT * FROM containers WHERE id = ? OR name = ? ORDER BY id = ? DESC"
        row = self.database.one(named, text, name, text)
        if row is not None:
            return _container(row)
        rows: Sequence[Row] = ()
        if text and all(digit in "0123456789abcdef" for digit in text):
            rows = self.database.read("SELECT * FROM containers WHERE id >= ? AND id < ? LIMIT 2", text, text + "g")
        if len(rows) > 1:
            raise Conflict(f"multiple IDs found with provided prefix: {text}", hint="write more digits")
        if not rows:
            raise NotFound(f"No such container: {text}", hint=self._near(name))
        return _container(rows[0])

    def _near(self, name: str) -> str:
        from difflib import get_close_matches  # lazy: 4 ms

        names = [str(row[0]) for row in self.database.read("SELECT name FROM containers")]
        near = get_close_matches(name, names, n=1)
        return f"did you mean {near[0]}?" if near else "`pybuild ps -a` lists them"

    def name_taken(self, name: str) -> bool:
        """Tell whether a container has this name."""
        return self.database.one("SELECT 1 FROM containers WHERE name = ?", name) is not None

    @contextmanager
    def new_directory(self, container_id: str) -> Iterator[int]:
        """Make a container's directory and hold its `alive` lock; gives the descriptor of the lock (close-on-exec).

        It appears under its name with the lock held, so that nobody takes it for one that was left behind. Where the
        block ends by an exception the directory goes again; else the descriptor stays open and is the caller's.
        """
        made = self.store.workspace() / container_id
        made.mkdir(mode=0o700)
        alive = os.open(made / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)
            for name in ("upper", "work", "files"):
                os.mkdir(made / name, 0o755 if name == "upper" else 0o700)
            os.rename(made, self.directory(container_id))
            yield alive
        except BaseException:
            self.discard(container_id)
            os.close(alive)
            raise

    def mark_starting(self, container_id: str) -> None:
        """Leave word that the command which makes a container starts it next: without that command it is nobody's."""
        (self.directory(container_id) / _STARTING).touch()

    def insert(self, container: Container) -> None:
        """Record a new container and pin its image. Raises Conflict where its name is taken."""
        try:
            with self.database.write() as connection:
                connection.execute(
                    "INSERT INTO containers(id, name, image, state, command, config, host_config, mounts, network,"
                    " auto_remove, created) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        container.id,
                        container.name,
                        container.image,
                        container.state,
                        json.dumps((container.path, *container.args)),
                        json.dumps(container.config),
                        json.dumps(container.host_config),
                        json.dumps(container.mounts),
                        json.dumps(container.network),
                        container.auto_remove,
                        container.created,
                    ),
                )
                connection.execute(
                    "INSERT OR IGNORE INTO pins(owner, kind, target) VALUES(?, 'image', ?)",
                    (_owner(container.id), container.image),
                )
                _event(connection, container, "create", container.created)
        except sqlite3.IntegrityError:
            raise self._conflict(container.name) from None

    def _conflict(self, name: str) -> Conflict:
        row = self.database.one("SELECT id FROM containers WHERE name = ?", name)
        holder = f' by container "{row[0]}"' if row else ""
        return Conflict(
            f'Conflict. The container name "/{name}" is already in use{holder}.',
            hint="remove (or rename) that container to be able to reuse that name: pybuild rm " + name,
        )

    def rename(self, container: Container, name: str) -> None:
        """Give a container another name. Raises Conflict where that is taken, UsageError where it is the same."""
        if name == container.name:
            raise UsageError("Renaming a container with the same name as its current name")
        try:
            with self.database.write() as connection:
                connection.execute("UPDATE containers SET name = ? WHERE id = ?", (name, container.id))
                renamed = replace(container, name=name)
                _event(connection, renamed, "rename", self.store.context.now(), oldName=f"/{container.name}")
        except sqlite3.IntegrityError:
            raise self._conflict(name) from None

    def reconfigure(self, container: Container, host: HostConfig) -> None:
        """Record other settings of the machine for a container."""
        with self.database.write() as connection:
            connection.execute("UPDATE containers SET host_config = ? WHERE id = ?", (json.dumps(host), container.id))
            _event(connection, container, "update", self.store.context.now())

    def record_event(self, container: Container, action: str, **attributes: str) -> None:
        """Write an event of this moment that changes no row."""
        with self.database.write() as connection:
            _event(connection, container, action, self.store.context.now(), **attributes)

    def forget_end(self, container: Container) -> None:
        """Delete what an earlier monitor left word of; the caller holds the container's lock."""
        for name in ("exit", "started", "socket", "paused", "condition", "stopped", "process", "networks"):
            with suppress(FileNotFoundError):
                os.unlink(self.directory(container.id) / name)
        with suppress(FileNotFoundError):
            for name in os.listdir(marks := self.directory(container.id) / "execs"):
                os.unlink(marks / name)

    def handed_over(
        self, container: Container, monitor: str, network: dict[str, object], *, attached: bool = False
    ) -> None:
        """Record that a monitor (named as store.leases does) is about to run the container; comes before it is told.

        `attached`: the command that starts it is its terminal.

        From now on the container counts as running for as long as its lock is held, whatever becomes of this process.
        """
        network = {**network, "journal": container.network.get("journal", 0)}
        with self.database.write() as connection:
            connection.execute(
                "UPDATE containers SET state = 'running', started = 0, pid = 0, monitor = ?, network = ?, finished = 0,"
                " exit_code = 0, oom_killed = 0, error = '' WHERE id = ?",
                (monitor, json.dumps(network), container.id),
            )
            if attached:
                _event(connection, container, "attach", self.store.context.now())

    def started(self, container: Container) -> None:
        """Record that the command runs, from the word that its monitor left in `started`; once."""
        try:
            pid, started = (self.directory(container.id) / "started").read_text().split()
        except (FileNotFoundError, ValueError):
            return
        with self.database.write() as connection:
            changed = connection.execute(
                "UPDATE containers SET started = ?, pid = ? WHERE id = ? AND state = 'running' AND started = 0",
                (int(started), int(pid), container.id),
            ).rowcount
            if changed:
                announce_surroundings(connection, self.store.layout.key, container, int(started), begins=True)
                _event(connection, container, "start", int(started))

    def failed(self, container: Container, *, exit_code: int, error: str) -> None:
        """Record that the command could not be started: the container stays as created, with the reason.

        Does nothing where another command has started it by now.
        """
        with self._at_rest(container.id, 0) as resting:
            if resting:
                self._never_ran(container, exit_code, error)

    def _never_ran(self, container: Container, exit_code: int, error: str) -> None:
        with self.database.write() as connection:
            connection.execute(
                "UPDATE containers SET state = 'created', exit_code = ?, error = ?, pid = 0 WHERE id = ?",
                (exit_code, _text(error), container.id),
            )
            release_owner(self.database, _owner(container.id))

    def reconcile(self) -> None:
        """Fold what monitors left into the rows, remove what was to be removed, and directories without a row."""
        for row in self.database.read(f"SELECT * FROM containers WHERE {_UNSETTLED} ORDER BY number"):
            container = _container(row)
            self._catch_up(container)
            serves = container.host_config.get("ServiceOf")
            if serves and not is_alive(serves):
                from runtime.containers.removal import abandon  # lazy: only after a kill

                abandon(self, container)
                continue
            if container.state == "created" and not (self.directory(container.id) / _STARTING).exists():
                continue  # `create --rm` made it: it waits for its start
            if self.conclude(container.id) and container.auto_remove:
                from runtime.containers.removal import remove_after_run  # lazy: only where one ended

                remove_after_run(self, container.id)
        names = os.listdir(self.root)
        known = {str(row[0]) for row in self.database.read("SELECT id FROM containers")}
        for name in names:
            # The lock first: a row is inserted while it is held, so a directory that is free then has its row by now.
            if name not in known and not self.is_held(name) and not self._has_row(name):
                self.discard(name)
        if not self.store.context.rootless:
            sweep_groups(self)

    def _has_row(self, container_id: str) -> bool:
        return self.database.one("SELECT 1 FROM containers WHERE id = ?", container_id) is not None

    def clear_group(self, container_id: str) -> bool:
        """Remove the control group of a container that nobody holds; False where somebody does."""
        with self._at_rest(container_id, 0) as resting:
            if resting:
                from runtime.containers.cgroup import kill_cgroup  # lazy: only after a kill

                kill_cgroup(self, container_id)
            return resting

    def _catch_up(self, container: Container) -> None:
        """Record what has come of a running container up to now."""
        self._fold_journal(container)
        if container.state == "running" and not container.started:
            self.started(container)  # the command that started it died too early to say so
        with suppress(OSError):
            holder = (self.directory(container.id) / "paused").read_text()
            if holder and not is_alive(holder):
                from runtime.containers.groups import thaw  # lazy: only after a kill

                thaw(self, container)

    def conclude(self, container_id: str, *, patience: float = 0) -> bool:
        """Record the end of a container that nobody looks after any more; tells whether that is so.

        False where it runs, was started again by now, or is being removed. `patience`: seconds to wait for the lock of
        a monitor that dies at this moment.
        """
        with self._at_rest(container_id, patience) as resting:
            if resting:
                self.settle(container_id)
            return resting

    def settle(self, container_id: str) -> None:
        """Record an end of which no command has known; the caller holds the container's lock."""
        container = self.get(container_id)
        if container is None or container.state != "running":
            return
        self._catch_up(container)
        how = self.last_word(container)
        if container.started or (self.directory(container_id) / "started").exists():
            self.ended(container, how)
        else:
            self._never_ran(container, how.code, how.error)

    @contextmanager
    def _at_rest(self, container_id: str, patience: float) -> Iterator[bool]:
        """Keep a container from being started or removed during the block; False where somebody holds its lock."""
        try:
            fd = os.open(self.directory(container_id) / "alive", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            yield True
            return
        try:
            end = time.monotonic() + patience
            while not (locked := _try_lock(fd)) and time.monotonic() < end:
                time.sleep(0.002)
            yield locked
        finally:
            os.close(fd)

    def _fold_journal(self, container: Container) -> None:
        """Make events of what the monitor alone has seen, and rows of its further starts."""
        told = container.network.get("journal", 0)
        offset = told if isinstance(told, int) else 0
        try:
            size = os.stat(self.directory(container.id) / "journal").st_size
        except OSError:
            return
        if size <= offset:
            return
        with self.database.write() as connection:
            row = connection.execute("SELECT * FROM containers WHERE id = ?", (container.id,)).fetchone()
            if row is None:
                return
            container = _container(row)
            told = container.network.get("journal", 0)
            events, after = read_journal(self.directory(container.id), told if isinstance(told, int) else 0)
            for moment, action, attributes in events:
                _event(connection, container, action, moment, **attributes)
                if action == "start":
                    connection.execute(
                        "UPDATE containers SET started = ?, pid = ?, exit_code = 0 WHERE id = ? AND state = 'running'",
                        (moment, int(attributes.get("pid", "0")), container.id),
                    )
                elif action == "die":
                    connection.execute(
                        "UPDATE containers SET finished = ?, exit_code = ?, pid = 0 WHERE id = ? AND state = 'running'",
                        (moment, int(attributes.get("exitCode", "0")), container.id),
                    )
            connection.execute(
                "UPDATE containers SET network = ? WHERE id = ?",
                (json.dumps({**container.network, "journal": after}), container.id),
            )

    def last_word(self, container: Container) -> Exit:
        """Return how a container ended, as its monitor wrote it; the caller holds the container's lock.

        Where the monitor was killed, the kernel killed the container with it; what remains of its cgroup goes here.
        """
        how = read_exit(self.directory(container.id))
        if how is not None:
            return how
        from runtime.containers.cgroup import kill_cgroup  # lazy: only after a kill

        kill_cgroup(self, container.id)
        if container.network.get("ports"):
            from runtime.containers.portcleanup import free_ports  # lazy: as above

            free_ports(self, container)
        now = self.store.context.now()
        if container.monitor.rpartition("-")[2] != boot_mark():
            return Exit(code=_LOST, finished=now, error="the machine was started anew while it ran")
        return Exit(code=128 + SIGKILL, finished=now, error="the monitor was killed")

    def ended(self, container: Container, how: Exit) -> None:
        """Record the end of a running container; does nothing the second time."""
        finished = how.finished
        with self.database.write() as connection:
            changed = connection.execute(
                "UPDATE containers SET state = 'exited', finished = ?, exit_code = ?, oom_killed = ?, error = ?,"
                " pid = 0 WHERE id = ? AND state = 'running'",
                (finished, how.code, how.oom_killed, _text(how.error), container.id),
            ).rowcount
            if changed:
                if how.oom_killed:
                    _event(connection, container, "oom", finished)
                announce_surroundings(connection, self.store.layout.key, container, finished, begins=False)
                lasted = str(max(0, finished - container.started) // 1_000_000_000)
                _event(connection, container, "die", finished, execDuration=lasted, exitCode=str(how.code))
            release_owner(self.database, _owner(container.id))

    def is_running(self, container: Container) -> bool:
        """Tell whether the container runs at this moment."""
        directory = self.directory(container.id)
        return container.state == "running" and self.is_held(container.id) and not (directory / "exit").exists()

    def state(self, container: Container) -> State:
        """Tell in which state the container is at this moment."""
        if container.state == "running":
            if not self.is_running(container):
                return "exited"
            if (self.directory(container.id) / "paused").exists():
                return "paused"
            if read_condition(self.directory(container.id)).restarting:
                return "restarting"
        return container.state

    def is_held(self, container_id: str) -> bool:
        """Tell whether somebody holds the container's `alive` lock: its monitor, its maker or its remover."""
        try:
            fd = os.open(self.directory(container_id) / "alive", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            return not _try_lock(fd)
        finally:
            os.close(fd)

    def forget(self, *gone: Container) -> None:
        """Take away containers' rows and pins; who calls holds their `alive` locks and deletes the directories next."""
        now = self.store.context.now()
        with self.database.write() as connection:
            for container in gone:
                deleted = connection.execute("DELETE FROM containers WHERE id = ?", (container.id,)).rowcount
                connection.execute("DELETE FROM pins WHERE owner = ?", (_owner(container.id),))
                if deleted:
                    _event(connection, container, "destroy", now)

    def discard(self, container_id: str) -> None:
        """Delete a container's directory; the caller holds its `alive` lock, or nobody can."""
        from runtime.store.trees import remove_tree  # lazy: only where something goes

        doomed = self.store.trash_name()
        with suppress(FileNotFoundError):
            os.rename(self.directory(container_id), doomed)
            remove_tree(doomed)


def _try_lock(fd: int) -> bool:
    """Take a shared lock on an open file; False where another holds it alone."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _text(text: str) -> str:
    """Return text that SQLite can hold: bytes of names that are no UTF-8 are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _owner(container_id: str) -> str:
    return f"container:{container_id}"


def _event(connection: sqlite3.Connection, container: Container, action: str, moment: int, **attributes: str) -> None:
    """Write an event of the Engine API's shape in the transaction that makes the change."""
    labels = container.config.get("Labels") or {}
    told = {**labels, "image": container.config.get("Image", ""), "name": container.name, **attributes}
    connection.execute(
        "INSERT INTO events(time, type, action, actor, attributes) VALUES(?, 'container', ?, ?, ?)",
        (moment, action, container.id, json.dumps(told)),
    )


def _container(row: Row) -> Container:
    path, *args = json.loads(row["command"])
    return Container(
        id=row["id"],
        name=row["name"],
        image=row["image"],
        state=row["state"],
        path=path,
        args=tuple(args),
        config=json.loads(row["config"]),
        host_config=json.loads(row["host_config"]),
        mounts=tuple(json.loads(row["mounts"])),
        network=json.loads(row["network"]),
        auto_remove=bool(row["auto_remove"]),
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        pid=row["pid"],
        monitor=row["monitor"],
        exit_code=row["exit_code"],
        oom_killed=bool(row["oom_killed"]),
        error=row["error"],
    )
