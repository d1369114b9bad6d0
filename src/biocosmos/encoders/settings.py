"""How an encoder computes, as every verb that runs one is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biocosmos.settings import check, setting

RUN = "Run"
PRECISIONS = ("auto", "fast", "float32", "bfloat16", "int8")
BACKENDS = ("auto", "torch", "openvino")


@dataclass(frozen=True)
class ComputeSettings:
    """Where and in which numbers an encoder runs; arguments of :func:`biocosmos.encoders.registry.load_encoder`."""

    device: str = setting("auto", "auto, cpu, cuda, cuda:1 or mps.", panel=RUN)
    precision: str = setting(
        "auto",
        "auto: the numbers of float32 on every machine; fast: the fastest here that agrees; int8 with OpenVINO.",
        choices=PRECISIONS,
        panel=RUN,
    )
    backend: str = setting("auto", "What runs the model (pip install 'biocosmos[openvino]').", choices=BACKENDS, panel=RUN)

    def __post_init__(self) -> None:
        check(self)

    def how(self) -> dict[str, Any]:
        """These settings as keyword arguments."""
        return {"device": self.device, "precision": self.precision, "backend": self.backend}
