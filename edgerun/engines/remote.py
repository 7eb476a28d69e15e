"""The Open Inference Protocol (KServe v2): a model on another machine's server, over HTTP or gRPC.

Triton, OpenVINO Model Server, TorchServe and MLServer speak it. The picture crosses the network in the clear unless
the URL says ``https`` or ``grpcs``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

from edgerun.engines.shapes import Batch, Size, picture_first, refuse_unscaled, settle_input, settled
from edgerun.engines.wording import one_line
from edgerun.errors import EngineError, ModelError
from edgerun.folders import expanded
from edgerun.limits import Interval
from edgerun.records import dataclass
from edgerun.tls import CERTIFICATE, read_pem, trusting
from edgerun.types import Array, ModelIO, TensorSpec

log = logging.getLogger(__name__)

_DTYPES: Final = {
    "FP32": "float32",
    "FP16": "float16",
    "FP64": "float64",
    "UINT8": "uint8",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
_PORTS: Final = {"http": 8000, "https": 443, "grpc": 8001, "grpcs": 443}
_BINARY: Final = ("binary_tensor_data", "binary_data")
"""Names of the HTTP extension that sends tensors as bytes instead of JSON numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteOptions:
    """A server on the network that runs the model."""

    url: str
    """Where it listens: `http://10.0.0.9:8000`, `https://...`, `grpc://10.0.0.9:8001` or `grpcs://...`."""

    model: str = ""
    """The model's name on the server; by default the name of the configured model file, without its suffix."""

    version: str = ""
    """The model's version on the server; by default the one that the server prefers."""

    timeout_s: Annotated[float, Interval(gt=0, le=60)] = 2.0
    """How long to wait for the connection and for each answer."""

    ca: Path | None = None
    """Certificates to trust for https and grpcs instead of the system's."""

    token_file: Path | None = None
    """A file with a token that is sent as `Authorization: Bearer`."""

    input_size: Size = (640, 640)
    """Width and height in pixels for a model that leaves its input size open."""
    batch: Batch = 1
    """How many pictures of several cameras or regions to send in one request, for a model that leaves that open."""

    def __post_init__(self) -> None:
        try:
            url = urlsplit(self.url)
            is_place = bool(url.scheme in _PORTS and url.hostname and _target(url))
        except ValueError:
            is_place = False
        if not is_place:
            raise ValueError(f"url {self.url!r} must be like http://HOST:8000 or grpc://HOST:8001")


class Remote:
    """A connection to one model of one server, made anew by the client library when it broke.

    Only the stem of ``model`` is used, and that only where ``options.model`` is empty.
    """

    def __init__(self, options: RemoteOptions, model: Path) -> None:
        url = urlsplit(options.url)
        grpc = _is_grpc(url)
        self._options = options
        self._name = options.model or model.stem
        self._where = f"{self._name!r} on {url.hostname}"
        headers = {"authorization": f"Bearer {_token(expanded(options.token_file))}"} if options.token_file else {}
        try:
            if grpc:
                from tritonclient import grpc as protocol
            else:
                from tritonclient import http as protocol
            from tritonclient.utils import InferenceServerException
        except ImportError as error:
            raise EngineError(
                "The client of inference servers is not installed. Install it with: pip install 'edgerun[remote]'."
            ) from error
        self._protocol = protocol
        self._errors = (InferenceServerException, *_transport_errors(url))
        self._client = _client(protocol, url, options)
        # The two clients name their timeout differently; the HTTP one has its own in the connection.
        self._call = {"headers": headers} | ({"client_timeout": options.timeout_s} if grpc else {})
        inputs, outputs, self._tensor_options = self._ask(grpc)
        refuse_unscaled(outputs)
        self._names = [spec.name for spec in outputs]
        self.io = ModelIO(inputs, outputs)
        self.io = ModelIO(inputs, settled(self.infer, inputs, [(spec.name, spec.shape) for spec in outputs]))

    def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See ``stages.Engine``. Retriable when the server is away or busy."""
        outs = [self._protocol.InferRequestedOutput(name, **self._tensor_options) for name in self._names]
        try:
            ins = [self._given(spec, tensor) for spec, tensor in zip(self.io.inputs, tensors, strict=True)]
            answer = self._client.infer(
                self._name, ins, model_version=self._options.version, outputs=outs, **self._call
            )
            found = [answer.as_numpy(name) for name in self._names]
        except self._errors as error:
            raise self._away(error) from error
        if any(output is None for output in found):
            raise EngineError(f"The server did not send all outputs of {self._where}: {', '.join(self._names)}.")
        return found

    def _given(self, spec: TensorSpec, tensor: Array) -> Any:
        given = self._protocol.InferInput(spec.name, list(tensor.shape), _datatype(spec.dtype))
        return given.set_data_from_numpy(tensor, **self._tensor_options)

    def close(self) -> None:
        self._client.close()

    def _ask(self, grpc: bool) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], dict[str, Any]]:
        """Inputs, outputs, and how tensors are to be sent, from what the server says of itself and the model."""
        json = {"as_json": True} if grpc else {}
        try:
            server = self._client.get_server_metadata(**json, **self._call)
            if not self._client.is_model_ready(self._name, self._options.version, **self._call):
                raise EngineError(f"The server has no model {self._where} that is ready.", retriable=True)
            told = self._client.get_model_metadata(self._name, self._options.version, **json, **self._call)
        except self._errors as error:
            raise self._away(error) from error
        ins, outs = ([_spec(entry) for entry in told.get(kind, ())] for kind in ("inputs", "outputs"))
        if not ins or not outs:
            raise ModelError(f"The server does not tell the inputs and outputs of {self._where}; write its settings.")
        size, batch = self._options.input_size, self._options.batch
        inputs = picture_first([TensorSpec(s.name, settle_input(s.shape, size, batch), s.dtype) for s in ins])
        binary = any(name in server.get("extensions", ()) for name in _BINARY)
        if not grpc and not binary:
            log.warning("The server takes tensors over HTTP only as text, which is slow; use its gRPC port.")
        return inputs, tuple(outs), {} if grpc else {"binary_data": binary}

    def _away(self, error: Exception) -> EngineError:
        return EngineError(f"The server did not run {self._where}: {one_line(error)}.", retriable=True)


def _is_grpc(url: SplitResult) -> bool:
    return url.scheme.startswith("grpc")


def _client(protocol: Any, url: SplitResult, options: RemoteOptions) -> Any:
    target = _target(url)
    secure = url.scheme in ("https", "grpcs")
    ca = expanded(options.ca) if options.ca else None
    try:
        if secure and ca:
            read_pem(ca, CERTIFICATE)
    except ValueError as error:
        raise EngineError(f"The engine's ca: {error}.") from error
    if _is_grpc(url):
        return protocol.InferenceServerClient(target, ssl=secure, root_certificates=str(ca) if ca else None)
    return protocol.InferenceServerClient(
        target + url.path.rstrip("/"),
        connection_timeout=options.timeout_s,
        network_timeout=options.timeout_s,
        ssl=secure,
        ssl_context_factory=partial(trusting, ca) if secure else None,
    )


def _target(url: SplitResult) -> str:
    """Host and port. Raises ValueError for a port that cannot be."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port or _PORTS[url.scheme]}"


def _transport_errors(url: SplitResult) -> tuple[type[Exception], ...]:
    """What the client lets through unwrapped when the connection breaks."""
    if _is_grpc(url):
        return (OSError,)
    from geventhttpclient.response import HTTPParseError

    return (OSError, HTTPParseError, ValueError)  # ValueError: an answer that is no JSON


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise EngineError(f"The token file {path} cannot be read: {one_line(error)}.") from error


def _spec(entry: Mapping[str, Any]) -> TensorSpec:
    """A tensor as the server tells of it; the JSON form of gRPC writes 64-bit integers as text."""
    kind = str(entry.get("datatype", ""))
    if kind not in _DTYPES:
        raise ModelError(f"The server's tensor {entry.get('name')!r} is of type {kind!r}, which no detector has.")
    return TensorSpec(str(entry["name"]), tuple(int(n) for n in entry.get("shape", ())), _DTYPES[kind])


def _datatype(dtype: str) -> str:
    return next(kind for kind, name in _DTYPES.items() if name == dtype)
