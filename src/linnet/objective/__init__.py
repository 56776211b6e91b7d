"""What a model is asked: training methods, a file each."""

from linnet.objective.base import Loss, Objective, ObjectiveSpec
from linnet.objective.masked import Masked
from linnet.objective.next_token import NextToken

__all__ = ["Loss", "Masked", "NextToken", "Objective", "ObjectiveSpec"]
