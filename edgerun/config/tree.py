"""What a configuration says, typed. Plain frozen dataclasses: importing them loads no YAML and no pydantic.

The docstring below each field is its entry in the JSON Schema and in the reference.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, is_dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

from edgerun.config.upkeep import MetricsOptions, SupervisionOptions
from edgerun.engines import ENGINES
from edgerun.heads import HEADS
from edgerun.limits import NOT_EMPTY, Interval
from edgerun.logs import LogOptions
from edgerun.motion import MotionOptions
from edgerun.outbox import OutboxOptions
from edgerun.plugins import Plugin
from edgerun.records import dataclass
from edgerun.regions import RegionOptions
from edgerun.rules import Place, RuleOptions
from edgerun.secrets import Secret, passwords_in
from edgerun.sinks import SINKS
from edgerun.sinks.mqtt import MqttOptions
from edgerun.sinks.stdout import StdoutOptions
from edgerun.sources import SOURCES
from edgerun.stages import Engine, Head, Source
from edgerun.topics import NAME
from edgerun.tracking import TrackerOptions
from edgerun.zones import GroundOptions, LineOptions, ZoneOptions

P = TypeVar("P")

DEFAULT_MODEL = "person-ssdlite-int8"


@dataclass(frozen=True, slots=True)
class Chosen(Generic[P]):
    """A row of a plugin table with its options filled in: ``{type: rtsp, url: ...}``."""

    type: str
    plugin: Plugin[P]
    options: Any

    def build(self, *arguments: Any) -> P:
        """The plugin itself; the further arguments are those of its stage (see ``stages``)."""
        return self.plugin.build(self.options, *arguments)


@dataclass(frozen=True, slots=True, eq=False)
class FromTable:
    """Marks a field as a choice from a plugin table, for pydantic (its protocol, spoken without importing it).

    With ``shorthand`` the name alone is enough, and ``auto`` leaves the choice open (None).
    """

    table: Mapping[str, Plugin[Any]]
    shorthand: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        rows = {name: self._row(name, plugin, handler) for name, plugin in self.table.items()}
        union = {"type": "tagged-union", "discriminator": "type", "choices": rows}
        if not self.shorthand:
            return union
        spelled = {"type": "function-before", "function": {"type": "no-info", "function": _spell_out}, "schema": union}
        return {"type": "function-wrap", "function": {"type": "no-info", "function": _unless_auto}, "schema": spelled}

    def _row(self, name: str, plugin: Plugin[Any], handler: Any) -> dict[str, Any]:
        def choose(value: Any, fill: Callable[[Any], Any]) -> Chosen[Any]:
            return Chosen(name, plugin, fill({key: part for key, part in value.items() if key != "type"}))

        options = handler.generate_schema(plugin.options)
        return {"type": "function-wrap", "function": {"type": "no-info", "function": choose}, "schema": options}

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        union = core["schema"]["schema"] if self.shorthand else core
        rows = []
        for name, row in union["choices"].items():
            options = dict(handler.resolve_ref_schema(handler(row["schema"])))
            options["properties"] = {"type": {"const": name}, **options.get("properties", {})}
            options["required"] = ["type", *options.get("required", [])]
            rows.append(options)
        names = [{"enum": ["auto", *self.table]}] if self.shorthand else []
        return {"anyOf": [*names, *rows]}


def _spell_out(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


def _unless_auto(value: Any, choose: Callable[[Any], Any]) -> Any:
    return None if value in ("auto", {"type": "auto"}) else choose(value)


@dataclass(frozen=True, slots=True)
class Matching:
    """Marks a text that must match a regular expression as a whole, for pydantic."""

    pattern: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {"type": "str", "pattern": f"^{self.pattern}$"}


Name: TypeAlias = Annotated[str, Matching(NAME)]


def host_name() -> str:
    """This machine's name, made to fit ``NAME``."""
    fitting = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")
    return fitting[:32] or "edgerun"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """Which detector looks at the frames, and what runs it."""

    name: str = DEFAULT_MODEL
    """A model of the catalogue (`edgerun models list`)."""
    path: str = ""
    """A model file of your own, instead of `name`; `labels` goes with it."""
    labels: str = ""
    """A labels file for `path`: one label a line, the first line is class 0."""
    engine: Annotated[Chosen[Engine] | None, FromTable(ENGINES, shorthand=True)] = None
    """What runs the model. `auto` takes the best accelerator that is there and fits the file. Default: `auto`."""
    head: Annotated[Chosen[Head] | None, FromTable(HEADS, shorthand=True)] = None
    """How the model's outputs are read. `auto` tells it from the outputs themselves. Default: `auto`."""
    score: Annotated[float, Interval(ge=0, le=1)] = 0.5
    """Detections below this score start no track and are not published by themselves; tracks that began with better
    ones go on with them. Where a camera's tracker has a `start_score`, that counts in its place."""
    workers: Annotated[int, Interval(ge=0, le=16)] = 0
    """Processes that run the model side by side. 0: as few as keep up; one more comes where frames are passed over
    while cores are idle."""
    per_second: Annotated[float, Interval(ge=0, le=10_000)] = 0.0
    """The most inferences in any second, of all cameras together, to keep a small device cool. 0: no limit. Cameras
    that ask for more share them as they do in overload."""
    fallback: bool = True
    """The processor takes over while the chosen accelerator or server is gone, with the plain file of the same model
    where it needs another one (`x.tflite` beside `x_edgetpu.tflite`)."""
    spare: bool = False
    """Keeps a second process loaded that takes over at once when the first dies. Costs its memory."""
    rollout: Literal["prove", "force"] = "prove"
    """How a model that a reload brings replaces the one that runs. `prove`: only when, on the next frames of these
    cameras, it finds roughly what the other finds, and fast enough. `force`: when it runs. Either way the other comes
    back when the new one serves badly in its first minute."""
    deadline_s: Annotated[float, Interval(gt=0, le=600)] = 5.0
    """An inference that takes longer counts as hung: its process is killed and started again."""
    start_s: Annotated[float, Interval(gt=0, le=3600)] = 60.0
    """The longest that loading the model may take. TensorRT, which builds its engine on the device at the first start,
    has half an hour where this is less."""

    def __post_init__(self) -> None:
        if self.labels and not self.path:
            raise ValueError("has labels without a path; models of the catalogue bring their own labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """One camera: where its frames come from, what is looked at, and what is worth an alert."""

    source: Annotated[Chosen[Source], FromTable(SOURCES)]
    """Where the frames come from."""
    enabled: bool = True
    """False leaves the camera out without deleting its settings."""
    fps: Annotated[float, Interval(gt=0, le=240)] = 5.0
    """Frames looked at per second."""
    priority: Annotated[int, Interval(ge=0, le=10)] = 5
    """Who gets more when the accelerator is short: a camera's share goes with its `fps` times `priority` + 1."""
    labels: tuple[str, ...] = ()
    """Labels to keep, of those that the model knows. Default: all."""
    stalled_s: Annotated[float, Interval(gt=0, le=3600)] = 4.0
    """The camera counts as stalled after so long without a frame, but not before three should have come."""
    frozen_s: Annotated[float, Interval(ge=0, le=3600)] = 8.0
    """The camera counts as frozen when its picture has not changed by one bit for so long. 0: never, for sources
    without a sensor's noise."""
    stuck_s: Annotated[float, Interval(gt=0, le=3600)] = 45.0
    """A source that gives neither a picture nor an error for so long is left behind, and opened anew. Never less than
    its own timeouts and 10 s."""
    motion: MotionOptions = field(default_factory=MotionOptions)
    """The motion gate, which spares the accelerator frames in which nothing moves."""
    regions: RegionOptions = field(default_factory=RegionOptions)
    """Which parts of the frame are shown to the model."""
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    """How detections become tracks."""
    zones: dict[Name, ZoneOptions] = field(default_factory=dict)
    """Areas by name, for rules and counts."""
    lines: dict[Name, LineOptions] = field(default_factory=dict)
    """Lines by name, for `cross` rules."""
    ground: GroundOptions | None = None
    """Four measured points on the ground, for rules about speed."""
    rules: tuple[RuleOptions, ...] = ()
    """What raises an alert."""

    @property
    def lossless(self) -> bool:
        """Its frames wait to be taken, as those of a recording that is read as fast as it goes: none is passed over."""
        return not getattr(self.source.options, "pace", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        "extra": "forbid",
        "allow_inf_nan": False,
        "use_attribute_docstrings": True,
        "alias_generator": lambda name: name.rstrip("_"),
    }

    cameras: Annotated[dict[Name, CameraOptions], NOT_EMPTY]
    """The cameras by name."""
    device: Name = field(default_factory=host_name)
    """This device's name in topics. Default: the host name, made to fit."""
    mqtt: MqttOptions = field(default_factory=MqttOptions)
    """The broker that alerts, detections and states go to."""
    stdout: StdoutOptions | None = None
    """Also print every message; `stdout: {}` turns it on."""
    model: ModelChoice = field(default_factory=ModelChoice)
    """The detector."""
    outbox: OutboxOptions = field(default_factory=OutboxOptions)
    """The queue on disk that keeps alerts until the broker has them."""
    place: Place = field(default_factory=Place)
    """Where the device stands, for schedules."""
    state_dir: str = ""
    """Where the outbox and other lasting state are kept. Default: systemd's state directory, or else
    `~/.local/state/edgerun`. The service may write to no other unless its unit is given `ReadWritePaths=`. While it
    cannot be written, as on a disk that is mounted read-only, alerts are kept in memory. On a device whose root is an
    overlay in memory, such as Raspberry Pi OS makes it, set one on a partition that is written, as what waits is lost
    with the power else."""
    log: LogOptions = field(default_factory=LogOptions)
    """What is logged, and how."""
    supervision: SupervisionOptions = field(default_factory=SupervisionOptions)
    """How the daemon helps itself."""
    metrics: MetricsOptions = field(default_factory=MetricsOptions)
    """Figures for Prometheus."""

    @property
    def enabled_cameras(self) -> dict[str, CameraOptions]:
        """Those that are not left out."""
        return {name: camera for name, camera in self.cameras.items() if camera.enabled}


def secrets_of(options: object) -> set[str]:
    """Every secret in a tree of options, for those who must not print it."""
    if isinstance(options, Secret):
        return {options.value} if options else set()
    if isinstance(options, str):
        return passwords_in(options)
    parts: Iterable[object] = ()
    if is_dataclass(options) and not isinstance(options, type):
        parts = (getattr(options, part.name) for part in fields(options))
    elif isinstance(options, Mapping):
        parts = options.values()
    elif isinstance(options, tuple):
        parts = options
    return {secret for part in parts for secret in secrets_of(part)}


def plugin_tables() -> dict[str, tuple[str, ...]]:
    """The names of all plugins, by room."""
    return {"sources": (*SOURCES,), "engines": (*ENGINES,), "heads": (*HEADS,), "sinks": SINKS}


def source(type: str, **options: Any) -> Chosen[Source]:
    """A source by its name in the configuration. Raises KeyError and TypeError."""
    return _choose(SOURCES, type, options)


def engine(type: str, **options: Any) -> Chosen[Engine]:
    """An engine by its name in the configuration. Raises KeyError and TypeError."""
    return _choose(ENGINES, type, options)


def head(type: str, **options: Any) -> Chosen[Head]:
    """A head by its name in the configuration. Raises KeyError and TypeError."""
    return _choose(HEADS, type, options)


def _choose(table: Mapping[str, Plugin[P]], type: str, options: dict[str, Any]) -> Chosen[P]:
    plugin = table[type]
    return Chosen(type, plugin, plugin.options(**options))
