"""Distillation: the student's code against the teacher's, as tensors. (B, T, E) in, (B, T) out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

DistillKind = Literal["gaussian_kl", "softmax_sample", "softmax_mean", "mse_mean"]
Reduction = Literal["batch_time", "batch"]


class CodePair(NamedTuple):
    """Code statistics and one sample of each side; the teacher's carry no gradient."""

    student_mean: Tensor
    student_logvar: Tensor
    student_sample: Tensor
    teacher_mean: Tensor
    teacher_logvar: Tensor
    teacher_sample: Tensor


def _gaussian_kl(pair: CodePair) -> Tensor:
    """KL(teacher || student) of the two Gaussians, in closed form."""
    gap = pair.teacher_logvar - pair.student_logvar
    shift = (pair.teacher_mean - pair.student_mean).square() * torch.exp(-pair.student_logvar)
    return 0.5 * (torch.exp(gap) + shift - 1 - gap).sum(-1)


def _softmax_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """KL of the softmaxes over the code's dimensions: what the released code takes for eq. 3 of the paper."""
    log_teacher, log_student = teacher.log_softmax(-1), student.log_softmax(-1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(-1)


_KINDS: dict[DistillKind, Callable[[CodePair], Tensor]] = {
    "gaussian_kl": _gaussian_kl,
    "softmax_sample": lambda pair: _softmax_kl(pair.teacher_sample, pair.student_sample),
    "softmax_mean": lambda pair: _softmax_kl(pair.teacher_mean, pair.student_mean),
    "mse_mean": lambda pair: (pair.teacher_mean - pair.student_mean).square().sum(-1),
}


def distill_term(kind: DistillKind, reduction: Reduction = "batch_time") -> Callable[[CodePair], Tensor]:
    """The term of this kind.

    ``total`` averages a term over batch and time. The released code divides by the batch alone, so that its value is
    T times as large: ``reduction="batch"`` gives that.
    """
    term = _KINDS[kind]
    if reduction == "batch_time":
        return term
    return lambda pair: term(pair) * pair.student_mean.shape[1]
