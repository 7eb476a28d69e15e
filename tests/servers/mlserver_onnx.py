"""An ONNX model behind MLServer: runs inside the server's own environment, from a folder that the test fills."""

from __future__ import annotations

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor

_DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64", "tensor(uint8)": "UINT8"}


class OnnxModel(MLModel):  # type: ignore[misc]  # MLServer is installed elsewhere, without its types
    async def load(self) -> bool:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri, settings)
        self.inputs = [self._told(entry) for entry in self._session.get_inputs()]
        self.outputs = [self._told(entry) for entry in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        tensors = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        names = [entry.name for entry in self._session.get_outputs()]
        found = self._session.run(names, tensors)
        outputs = [NumpyCodec.encode_output(name, output) for name, output in zip(names, found, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)

    @staticmethod
    def _told(entry: onnxruntime.NodeArg) -> MetadataTensor:
        shape = [n if isinstance(n, int) else -1 for n in entry.shape]
        return MetadataTensor(name=entry.name, datatype=_DATATYPES[entry.type], shape=shape)
