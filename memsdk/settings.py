"""What a store can be opened with: keyword arguments of `Memory.open`, or `MEMSDK_*` environment variables."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PREFIX = "MEMSDK_"


class Settings(BaseModel):
    """Every setting, its default and its meaning. Arguments win over the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    require_user: bool = Field(default=False, description="refuse writes and reads without a user_id")
    synchronous: Literal["FULL", "NORMAL"] = Field(
        default="FULL", description="FULL survives a power cut; NORMAL survives kill -9 and commits faster"
    )
    busy_timeout_s: float = Field(
        default=30.0, gt=0, description="how long to wait for another process's write"
    )
    neighbours: int = Field(
        default=2, ge=0, le=8, description="turns either side that a chat turn is indexed with"
    )
    background: bool = Field(
        default=True, description="re-index neighbours and write the recall log in a thread"
    )
    log_recalls: bool = Field(
        default=True, description="keep what was asked and found: the trainer's raw material"
    )
    recall_retention_days: float | None = Field(
        default=365.0,
        gt=0,
        description="recalls older than this are erased by sweep and open; null keeps them",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(default="cpu", description="where the embedder runs")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="what the embedder computes in; auto: float32, but for very many texts where the CPU has bfloat16",
    )
    threads: int | None = Field(
        default=None, ge=1, description="threads that embed a batch; null takes every core"
    )
    allow_download: bool = Field(
        default=False, description="may an embedder named by a hub id be downloaded?"
    )
    host_idle_s: float = Field(
        default=5.0, ge=0, description="how long the index host outlives its last client"
    )
    reranker_candidates: int = Field(
        default=20, ge=2, le=200, description="how many of the best candidates a reranker looks at"
    )
    reranker_weight: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="the reranker's share of a score; 1 leaves nothing of the first stage's",
    )
    tokenizer: str = Field(
        default="cl100k_base", description="the tiktoken encoding that budgets are counted in"
    )

    @model_validator(mode="before")
    @classmethod
    def _with_environment(cls, given: dict[str, object]) -> dict[str, object]:
        """What is not given is the variable's, in capitals or not, where there is one."""
        named = {name.upper(): value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
        said = {
            name: named[PREFIX + name.upper()] for name in cls.model_fields if PREFIX + name.upper() in named
        }
        return {**said, **given}
