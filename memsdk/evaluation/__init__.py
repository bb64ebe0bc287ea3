"""Recall measured: a set of queries whose right answers are known, asked of a temporary store with several settings."""

from memsdk.evaluation.results import Evaluation, Result
from memsdk.evaluation.running import evaluate
from memsdk.evaluation.sets import Asked, EvaluationSet, Item, read_set

__all__ = ["Asked", "Evaluation", "EvaluationSet", "Item", "Result", "evaluate", "read_set"]
