"""Response bodies of the routes other than ``/predict`` (`schema`) and of errors (`problems`)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from age_gender import __version__


class HealthBody(BaseModel):
    """That the service is up."""

    model_config = ConfigDict(title="Health")

    status: str = Field(description="Always `ok`.", examples=["ok"])
    version: str = Field(description="The service's version.", examples=[__version__])


class ModelSpecBody(BaseModel):
    """The specification of the age and gender model."""

    model_config = ConfigDict(title="Model")

    name: str = Field(description="As `ATTRIBUTE_MODEL` selects it.", examples=["agn-v2"])
    version: str = Field(description="Of the weights and their calibration.", examples=["2.1.0"])
    licence: str = Field(description="Terms of the weights.", examples=["Apache-2.0"])
    data: str = Field(description="What it was trained on.", examples=["FairFace (CC BY 4.0)"])
    chip: dict[str, Any] = Field(
        description="How a face is cut out.", examples=[{"size": 224, "scale": 1.25}]
    )
    ages: dict[str, Any] = Field(
        description="The years that its outputs stand for.", examples=[{"first": 0.0, "step": 1.0}]
    )
    calibration: dict[str, Any] = Field(
        description="Temperatures and margins of the interval.", examples=[{"coverage": 0.8}]
    )
    reliability: dict[str, Any] = Field(
        description="Limits of `reliable`.", examples=[{"min_size": 22.0, "min_confidence": 0.85}]
    )
