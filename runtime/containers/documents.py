"""Name the fields of the Engine API's container documents that this runtime keeps and acts on.

They are plain JSON objects: what `create` is given, what a record stores and what `inspect` shows. A field that is
absent has Docker's default. (Docker Engine API, `ContainerCreate`: Config and HostConfig.)
"""

from __future__ import annotations

from frozen import TypedDict
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
    ReadOnlyNonRecursive: bool
    ReadOnlyForceRecursive: bool
    CreateMountpoint: bool


class DriverConfig(TypedDict, total=False):
    """A volume's driver and what it is told when the volume is made."""

    Name: str
    Options: dict[str, str]


class VolumeOptions(TypedDict, total=False):
    """Options of a volume mount."""

    NoCopy: bool
    Labels: dict[str, str]
    Subpath: str
    DriverConfig: DriverConfig


class ImageOptions(TypedDict, total=False):
    """Options of the mount of an image."""

    Subpath: str


class TmpfsOptions(TypedDict, total=False):
    """Options of a tmpfs mount: size in bytes, permission bits."""

    SizeBytes: int
    Mode: int


class MountDocument(TypedDict, total=False):
    """One mount as `--mount` describes it; Type is bind, volume, tmpfs or image."""

    Type: str
    Source: str
    Target: str
    ReadOnly: bool
    BindOptions: BindOptions
    VolumeOptions: VolumeOptions
    TmpfsOptions: TmpfsOptions
    ImageOptions: ImageOptions
    Consistency: str


class RestartPolicy(TypedDict):
    """When a container is started again after its end."""

    Name: str
    MaximumRetryCount: int


class LogConfig(TypedDict, total=False):
    """Where output goes: Type is json-file, local or none; Config has max-size, max-file, labels, env."""

    Type: str
    Config: dict[str, str]


class DeviceMapping(TypedDict):
    """A device of the machine: its path there, its path in the container, and letters of "rwm"."""

    PathOnHost: str
    PathInContainer: str
    CgroupPermissions: str


class DeviceRequest(TypedDict):
    """Devices that are described rather than named by path; a Count of -1 is all."""

    Driver: str
    Count: int
    DeviceIDs: list[str] | None
    Capabilities: list[list[str]] | None
    Options: dict[str, str] | None


class WeightDevice(TypedDict):
    """The weight of a block device, 10 to 1000."""

    Path: str
    Weight: int


class ThrottleDevice(TypedDict):
    """The most that may be read from or written to a block device in a second: bytes or operations."""

    Path: str
    Rate: int


class HostConfig(TypedDict, total=False):
    """What this machine does for a container: mounts, limits, namespaces. Sizes in bytes, NanoCpus in 1e-9 CPUs.

    `Inherited` and `ServiceOf` are this program's own: the mounts that `VolumesFrom` came to when the container was
    made; the build that it serves, by the name of its process (store.leases).
    """

    Binds: list[str]
    ContainerIDFile: str
    LogConfig: LogConfig
    CgroupnsMode: str
    CgroupParent: str
    Runtime: str
    Isolation: str
    VolumeDriver: str
    VolumesFrom: list[str]
    Devices: list[DeviceMapping]
    DeviceCgroupRules: list[str]
    DeviceRequests: list[DeviceRequest]
    BlkioWeight: int
    BlkioWeightDevice: list[WeightDevice]
    BlkioDeviceReadBps: list[ThrottleDevice]
    BlkioDeviceWriteBps: list[ThrottleDevice]
    BlkioDeviceReadIOps: list[ThrottleDevice]
    BlkioDeviceWriteIOps: list[ThrottleDevice]
    CpuRealtimePeriod: int
    CpuRealtimeRuntime: int
    MemorySwappiness: int
    OomKillDisable: bool
    MaskedPaths: list[str]
    ReadonlyPaths: list[str]
    Inherited: list[dict[str, object]]
    ServiceOf: str
    NetworkMode: str
    Links: list[str]
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
    """One mount as `inspect` shows it under `Mounts`: what a container has, once volumes have names.

    `ImageID`, the id of a mounted image, is this program's own.
    """

    Type: str
    Name: str
    Source: str
    Destination: str
    Driver: str
    Mode: str
    RW: bool
    Propagation: str
    ImageID: str
