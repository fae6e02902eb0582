"""Name the fields of the Engine API's container documents that this runtime keeps and acts on.

They are plain JSON objects: what `create` is given, what a record stores and what `inspect` shows. A field that is
absent has Docker's default. (Docker Engine API, `ContainerCreate`: Config and HostConfig.)
"""

from __future__ import annotations

from typing import TypedDict

from runtime.containers.quantities import Ulimit
from runtime.network.settings import EndpointSettings


class Healthcheck(TypedDict, total=False):
    """How an image says its containers are to be checked; durations in nanoseconds."""

    Test: list[str]
    Interval: int
    Timeout: int
    Retries: int
    StartPeriod: int
    StartInterval: int


class Config(TypedDict, total=False):
    """What a container is, apart from the machine that it runs on."""

    Hostname: str
    Domainname: str
    User: str
    AttachStdin: bool
    AttachStdout: bool
    AttachStderr: bool
    ExposedPorts: dict[str, dict[str, object]]
    Tty: bool
    OpenStdin: bool
    StdinOnce: bool
    Env: list[str]
    Cmd: list[str] | None
    Healthcheck: Healthcheck
    Image: str
    Volumes: dict[str, dict[str, object]]
    WorkingDir: str
    Entrypoint: list[str] | None
    Labels: dict[str, str]
    StopSignal: str
    StopTimeout: int


class BindOptions(TypedDict, total=False):
    """Options of a bind mount."""

    Propagation: str
    NonRecursive: bool
    CreateMountpoint: bool


class VolumeOptions(TypedDict, total=False):
    """Options of a volume mount."""

    NoCopy: bool
    Labels: dict[str, str]
    Subpath: str


class TmpfsOptions(TypedDict, total=False):
    """Options of a tmpfs mount: size in bytes, permission bits."""

    SizeBytes: int
    Mode: int


class MountDocument(TypedDict, total=False):
    """One mount as `--mount` describes it; Type is bind, volume or tmpfs."""

    Type: str
    Source: str
    Target: str
    ReadOnly: bool
    BindOptions: BindOptions
    VolumeOptions: VolumeOptions
    TmpfsOptions: TmpfsOptions


class RestartPolicy(TypedDict):
    """When a container is started again after its end."""

    Name: str
    MaximumRetryCount: int


class LogConfig(TypedDict, total=False):
    """Where output goes: Type is json-file, local or none; Config has max-size, max-file, labels, env."""

    Type: str
    Config: dict[str, str]


class HostConfig(TypedDict, total=False):
    """What this machine does for a container: mounts, limits, namespaces. Sizes in bytes, NanoCpus in 1e-9 CPUs."""

    Binds: list[str]
    ContainerIDFile: str
    LogConfig: LogConfig
    CgroupnsMode: str
    VolumesFrom: list[str]
    Devices: list[dict[str, str]]
    NetworkMode: str
    Networks: dict[str, EndpointSettings]
    PortBindings: dict[str, list[dict[str, str]]]
    PublishAllPorts: bool
    RestartPolicy: RestartPolicy
    AutoRemove: bool
    CapAdd: list[str]
    CapDrop: list[str]
    Dns: list[str]
    DnsOptions: list[str]
    DnsSearch: list[str]
    ExtraHosts: list[str]
    GroupAdd: list[str]
    IpcMode: str
    OomScoreAdj: int
    PidMode: str
    Privileged: bool
    ReadonlyRootfs: bool
    SecurityOpt: list[str]
    Tmpfs: dict[str, str]
    UTSMode: str
    UsernsMode: str
    ShmSize: int
    Sysctls: dict[str, str]
    CpuShares: int
    Memory: int
    NanoCpus: int
    CpuPeriod: int
    CpuQuota: int
    CpusetCpus: str
    CpusetMems: str
    MemoryReservation: int
    MemorySwap: int
    Init: bool
    PidsLimit: int
    Ulimits: list[Ulimit]
    Mounts: list[MountDocument]
    Annotations: dict[str, str]


class MountPoint(TypedDict, total=False):
    """One mount as `inspect` shows it under `Mounts`: what a container has, once volumes have names."""

    Type: str
    Name: str
    Source: str
    Destination: str
    Driver: str
    Mode: str
    RW: bool
    Propagation: str
