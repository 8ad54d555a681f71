"""The terms on the code: beta-VAE and distillation."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from diswm.objectives.disentangle import beta_term
from diswm.objectives.distill import CodePair, DistillKind, distill_term

B, T, E = 2, 3, 5
KINDS = get_args(DistillKind)


def pair(seed: int = 0) -> CodePair:
    generator = torch.Generator().manual_seed(seed)
    student = [part.requires_grad_() for part in torch.randn(3, B, T, E, generator=generator).unbind()]
    return CodePair(*student, *torch.randn(3, B, T, E, generator=generator))


def same() -> CodePair:
    return CodePair(*(part.detach() for part in pair()[:3] * 2))


def test_beta_term_sums_over_the_code() -> None:
    """Mean 1 and variance 1: 0.5 a dimension."""
    code = pair()
    expected = kl_divergence(Normal(code[0], torch.exp(code[1] / 2)), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(beta_term(code[0], code[1]), expected)
    assert beta_term(torch.ones(B, T, E), torch.zeros(B, T, E)).tolist() == [[2.5] * T] * B


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_like_its_teacher_pays_nothing(kind: DistillKind) -> None:
    term = distill_term(kind)(same())
    assert term.shape == (B, T)
    torch.testing.assert_close(term, torch.zeros(B, T), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_any_other_pays(kind: DistillKind) -> None:
    assert float(distill_term(kind)(pair()).detach().min()) > 0


def test_gaussian_kl_is_the_teacher_s_against_the_student_s() -> None:
    code = pair()
    teacher = Normal(code.teacher_mean, torch.exp(code.teacher_logvar / 2))
    student = Normal(code.student_mean, torch.exp(code.student_logvar / 2))
    torch.testing.assert_close(distill_term("gaussian_kl")(code), kl_divergence(teacher, student).sum(-1))


@pytest.mark.parametrize(("kind", "side"), [("softmax_sample", "sample"), ("softmax_mean", "mean")])
def test_softmax_kinds_compare_categorical_distributions(kind: DistillKind, side: str) -> None:
    code = pair()
    teacher, student = getattr(code, f"teacher_{side}"), getattr(code, f"student_{side}")
    p, q = (torch.distributions.Categorical(logits=logits) for logits in (teacher, student))
    torch.testing.assert_close(distill_term(kind)(code), kl_divergence(p, q))


@pytest.mark.parametrize("kind", KINDS)
def test_softmax_kinds_do_not_see_a_constant_added_to_the_code(kind: DistillKind) -> None:
    """Spec C3. The other kinds do see it."""
    code = pair()
    moved = code._replace(student_mean=code.student_mean + 3, student_sample=code.student_sample + 3)
    before, after = distill_term(kind)(code), distill_term(kind)(moved)
    assert torch.allclose(before, after, atol=1e-5) == kind.startswith("softmax")


def test_mse_mean_by_hand() -> None:
    """(1 - 3)^2 + (2 - 2)^2 = 4."""
    mean, zero = torch.tensor([[[1.0, 2.0]]]), torch.zeros(1, 1, 2)
    code = CodePair(mean, zero, zero, torch.tensor([[[3.0, 2.0]]]), zero, zero)
    assert distill_term("mse_mean")(code).tolist() == [[4.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_reduction_over_the_batch_alone_is_t_times_as_large(kind: DistillKind) -> None:
    code = pair()
    torch.testing.assert_close(distill_term(kind, "batch")(code), T * distill_term(kind)(code))


def test_released_value_of_unmatched_codes() -> None:
    """Spec C3: with e ~ N(0, 1) unmatched on both sides the released value is about 44 at T = 50, 0.89 a frame."""
    samples = torch.randn(2, 200, 50, 20, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(200, 50, 20)
    code = CodePair(zero, zero, samples[0], zero, zero, samples[1])
    assert float(distill_term("softmax_sample", "batch")(code).mean()) == pytest.approx(44, abs=1)
