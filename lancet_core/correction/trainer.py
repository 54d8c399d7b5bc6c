"""Corrections on transformers' Trainer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainingArguments

from lancet_core.correction.ibo import adapter_proximity, proximity
from lancet_core.correction.objectives import OBJECTIVES, Step, Term, Terms, TokenRatios, total
from lancet_core.correction.settings import CorrectionSettings
from lancet_core.correction.steps import NEGATIVES, POSITIVES, RETAINED, CorrectionSteps
from lancet_core.correction.training import QuietTrainer, trainer_arguments
from lancet_core.errors import NumericalError
from lancet_core.models.encoding import Batch
from lancet_core.models.likelihood import token_log_likelihoods
from lancet_core.progress import Progress

STAGE = "Correcting"
# A model that knows its training samples by heart starts near 0, where 1.5 times the start is a hundredth of a nat and turning the
# bad answers among the retain samples alone exceeds it: a rise of less than this, perplexity times 1.28, stops no run.
GUARD_HEADROOM = 0.25
SCORE = "validation_score"
Validate = Callable[[Any], Mapping[str, float]]


@dataclass(frozen=True)
class Watch:
    """What a run reports and chooses by.

    Attributes:
        progress: Called at each step.
        queries: Packed queries whose mean probability is measured.
        validate: Takes the model in training and returns its mean `harmful` or `helpful` score on validation prompts, or both; None
            where nothing is validated.
    """

    progress: Progress
    queries: tuple[Batch, ...] = ()
    validate: Validate | None = None


class CorrectionTrainer(QuietTrainer):
    """Minimises an objective and the proximity (Eq. 17), one step's samples in one backward pass."""

    control: Any

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        *,
        steps: CorrectionSteps,
        settings: CorrectionSettings,
        watch: Watch,
    ) -> None:
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=steps,
            eval_dataset=steps if watch.validate else None,
            data_collator=_single,
            callbacks=[_Reporter(self, settings, watch)],
        )
        self.correction_settings, self.watch = settings, watch
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.start = (
            [parameter.detach().clone() for parameter in self.trained] if settings.proximity_weight else []
        )
        self.terms: dict[str, float] = {}

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        """Takes the loss of one step and keeps its terms for the report.

        Dropout is off: the start model's log-probabilities were measured without it, and Δ must be 0 at the start.

        Raises:
            NumericalError: The loss is not finite, or the retain NLL passed the guard.
        """
        del return_outputs, num_items_in_batch
        settings = self.correction_settings
        model.eval()
        roles = _forward(model, inputs["groups"])
        weights = inputs["positive_weight"], inputs["negative_weight"]
        step = Step(roles[POSITIVES], roles[NEGATIVES], roles[RETAINED], *weights)
        terms = dict(OBJECTIVES[settings.objective](step, settings))
        if settings.proximity_weight:
            terms["proximity"] = Term(self._distance(model), settings.proximity_weight)
        self._remember(terms, step.retain)
        return total(terms)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Scores the validation prompts, so that the best checkpoint can be chosen: helpful minus harmful, of what is measured."""
        del args, kwargs
        if self.watch.validate is None:
            return {}
        self.model.eval()
        scores = dict(self.watch.validate(self.model))
        self.watch.progress(STAGE, self.state.global_step, self.state.max_steps, **scores)
        metrics = {f"eval_{SCORE}": scores.get("helpful", 0.0) - scores.get("harmful", 0.0)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def query_probability(self) -> float:
        """Mean over the queries of P(response | prompt) under the model in training (Fig. 4f)."""
        values = []
        self.model.eval()
        with torch.no_grad():
            for batch in self.watch.queries:
                values += (
                    token_log_likelihoods(self.model, batch.to(self.args.device))
                    .sum(dim=1)
                    .double()
                    .exp()
                    .tolist()
                )
        return math.fsum(values) / len(values)

    def _distance(self, model: Any) -> Tensor:
        if self.correction_settings.adapter == "lora":
            return adapter_proximity(_lora_factors(model))
        return proximity(self.trained, self.start)

    def _remember(self, terms: Terms, retained: TokenRatios) -> None:
        """Keeps the step's terms and stops a run that broke."""
        nll = -retained.mean_log_likelihood
        start = nll + retained.log_ratios[retained.mask].mean()
        values = {name: term.value for name, term in terms.items()}
        values |= {"retain_nll": nll, "retain_nll_start": start}
        numbers = torch.stack(list(values.values())).detach().tolist()
        self.terms = dict(zip(values, numbers, strict=True))
        broken = next((name for name, value in self.terms.items() if not math.isfinite(value)), None)
        if broken:
            raise NumericalError(
                f"the {broken} term is {self.terms[broken]} at step {self.state.global_step + 1}; the checkpoints before it stay. "
                "Lower the learning rate, or use the token-level divergence and the bounded form"
            )
        guard = self.correction_settings.guard
        start_nll = self.terms["retain_nll_start"]
        if self.terms["retain_nll"] > max(guard * start_nll, start_nll + GUARD_HEADROOM):
            raise NumericalError(
                f"stopped at step {self.state.global_step + 1}: the NLL of the retain samples is {self.terms['retain_nll']:.2f}, more than "
                f"{guard:g} times its start {start_nll:.2f}, so the model is losing what it knew; the checkpoints "
                "before it stay. Lower the learning rate or the steps, raise the divergence weight, or use the bounded form"
            )


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers carries no types that mypy follows here
    """Reports the terms of each step."""

    def __init__(self, trainer: CorrectionTrainer, settings: CorrectionSettings, watch: Watch) -> None:
        self.trainer, self.settings, self.watch = trainer, settings, watch

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures the queries before the first step."""
        if self.watch.queries and state.global_step == 0:
            self.watch.progress(
                STAGE, 0, self.settings.steps, query_probability=self.trainer.query_probability()
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Reports the terms, the learning rate that was used and, every few steps, the queries' probability."""
        values = {name: value for name, value in self.trainer.terms.items() if name != "retain_nll_start"}
        warmth = min(1.0, (state.global_step - 1) / max(1, self.settings.warmup_steps))
        values["learning_rate"] = self.settings.learning_rate * warmth
        due = state.global_step % self.settings.query_every == 0 or state.global_step == self.settings.steps
        if self.watch.queries and due:
            values["query_probability"] = self.trainer.query_probability()
        self.watch.progress(STAGE, state.global_step, self.settings.steps, **values)


def training_arguments(
    folder: str, settings: CorrectionSettings, *, on_cpu: bool, choose_best: bool
) -> TrainingArguments:
    """Translates the settings for transformers' Trainer.

    Args:
        folder: Where checkpoints go.
        settings: Steps, learning rate, clipping, checkpoints.
        on_cpu: Whether to keep off the accelerators that there may be.
        choose_best: Whether validation scores decide which checkpoint is loaded at the end.
    """
    chosen: dict[str, Any] = {}
    if choose_best:
        chosen = {
            "eval_strategy": "steps",
            "eval_steps": settings.checkpoint_every,
            "load_best_model_at_end": True,
            "metric_for_best_model": SCORE,
            "greater_is_better": True,
        }
    return trainer_arguments(
        folder,
        settings,
        on_cpu=on_cpu,
        max_steps=settings.steps,
        per_device_train_batch_size=1,
        learning_rate=settings.learning_rate,
        save_total_limit=settings.checkpoints_kept,
        train_sampling_strategy="sequential",
        logging_strategy="no",
        **chosen,
    )


def _single(items: list[dict[str, Any]]) -> dict[str, Any]:
    return items[0]


def _forward(model: Any, groups: list[dict[str, Any]]) -> dict[int, TokenRatios]:
    """Runs every group and sorts its rows by role and place."""
    width = max(group["reference"].shape[1] for group in groups)
    parts = []
    for group in groups:
        batch = group["batch"].to(group["reference"].device)
        log_likelihoods = token_log_likelihoods(model, batch).float()
        padding = (0, width - log_likelihoods.shape[1])
        parts.append(
            [
                torch.nn.functional.pad(values, padding)
                for values in (log_likelihoods, group["reference"], batch.response_mask)
            ]
        )
    log_likelihoods, reference, mask = (torch.cat(column) for column in zip(*parts, strict=True))
    role = torch.cat([group["role"] for group in groups])
    place = torch.cat([group["place"] for group in groups])
    log_ratios = (log_likelihoods - reference) * mask
    sorted_roles = {}
    for wanted in (POSITIVES, NEGATIVES, RETAINED):
        rows = torch.nonzero(role == wanted).squeeze(1)
        rows = rows[place[rows].argsort()]
        sorted_roles[wanted] = TokenRatios(log_ratios[rows], log_likelihoods[rows], mask[rows])
    return sorted_roles


def _lora_factors(model: Any) -> list[tuple[Tensor, Tensor, float]]:
    """A, B and scale of each adapted layer."""
    return [
        (module.lora_A[name].weight, module.lora_B[name].weight, float(module.scaling[name]))
        for module in model.modules()
        if hasattr(module, "lora_A")
        for name in module.lora_A
    ]
