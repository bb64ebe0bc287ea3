"""The gate's report: why a version was promoted or not, as text, JSON and one HTML page with its plots inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pydantic import JsonValue

from memsdk.models import TrainingRun
from memsdk.trainer.gate import Check, Verdict

WIDTH, ROW = 640, 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run's end. Figures and reasons; no query and no record.

    Attributes:
        metrics: every system's means over the held-out queries, by system and metric.
        curve: of each pass of the fit, its loss and the nDCG@10 on what was kept aside; the first is before any.
    """

    run: TrainingRun
    verdict: Verdict
    metrics: Mapping[str, Mapping[str, float]]
    guard: Mapping[str, float]
    curve: Sequence[tuple[float, float]]
    lineage: Mapping[str, JsonValue]

    def plain(self) -> dict[str, JsonValue]:
        """As JSON."""
        return {
            "run": self.run.model_dump(mode="json", exclude={"report"}),
            "promote": self.verdict.promote,
            "reason": self.verdict.reason,
            "checks": [_plain_check(check) for check in self.verdict.checks],
            "metrics": {system: dict(values) for system, values in self.metrics.items()},
            "guard": dict(self.guard),
            "curve": [[None if loss != loss else loss, quality] for loss, quality in self.curve],  # noqa: PLR0124 -- NaN
            "lineage": dict(self.lineage),
        }

    def text(self) -> str:
        """For a terminal or a mail."""
        run = self.run
        whose = "the whole store" if run.user_id is None else f"user {run.user_id}"
        lines = [
            f"{run.tier} for {run.task.value}, {whose}: {run.outcome or 'not ended'}"
            + (f" as {run.version}" if run.version else ""),
            f"  {self.verdict.reason}",
            "",
        ]
        lines += [
            f"  {'ok ' if check.passed else 'NO '} {check.name}: {check.reason}"
            for check in self.verdict.checks
        ]
        if self.metrics:
            names = list(next(iter(self.metrics.values())))
            lines += ["", "  " + " " * 12 + "".join(f"{name:>10}" for name in names)]
            lines += [
                f"  {system:12}" + "".join(f"{values[name]:10.4f}" for name in names)
                for system, values in self.metrics.items()
            ]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """One page that needs nothing else."""
        rows = "".join(
            f"<tr><td>{'yes' if check.passed else '<b>no</b>'}</td><td>{escape(check.name)}</td>"
            f"<td>{escape(check.reason)}</td></tr>"
            for check in self.verdict.checks
        )
        systems = list(self.metrics)
        names = list(self.metrics[systems[0]]) if systems else []
        table = "".join(
            f"<tr><td>{escape(system)}</td>"
            + "".join(f"<td>{self.metrics[system][name]:.4f}</td>" for name in names)
            + "</tr>"
            for system in systems
        )
        title = f"{self.run.tier} for {self.run.task.value}: {self.run.outcome or 'not ended'}"
        return (
            "<!doctype html><meta charset=utf-8><title>memsdk retrain</title><style>"
            "body{font:15px/1.5 system-ui;max-width:52em;margin:2em auto;padding:0 1em}"
            "td,th{padding:.2em .8em .2em 0;text-align:left}svg text{font:12px system-ui}</style>"
            f"<h1>{escape(title)}</h1><p>{escape(self.verdict.reason)}</p><h2>Conditions</h2><table>{rows}</table>"
            f"<h2>Gains, in points of nDCG@10, with 95 % intervals</h2>{gains_plot(self.verdict.checks)}"
            f"<h2>Recall on held-out queries</h2><table><tr><th></th>{''.join(f'<th>{name}</th>' for name in names)}"
            f"</tr>{table}</table><h2>The fit</h2>{curve_plot(self.curve)}"
            f"<h2>Lineage</h2><pre>{escape(json.dumps(dict(self.lineage), indent=2))}</pre>"
        )

    def write(self, folder: Path) -> Path:
        """Write the three into the folder; returns the page's path."""
        folder.mkdir(parents=True, exist_ok=True)
        name = str(self.run.id)
        (folder / f"{name}.json").write_text(json.dumps(self.plain(), indent=2) + "\n", encoding="utf-8")
        (folder / f"{name}.txt").write_text(self.text(), encoding="utf-8")
        page = folder / f"{name}.html"
        page.write_text(self.html(), encoding="utf-8")
        return page


def gains_plot(checks: Sequence[Check]) -> str:
    """A line a condition: the mean difference as a dot on its interval, as SVG."""
    shown = [(check, check.gain) for check in checks if check.gain is not None]
    if not shown:
        return "<p>nothing was compared</p>"
    reach = max(0.01, *(max(abs(gain.low), abs(gain.high)) for _, gain in shown))
    left, middle = 230, 230 + (WIDTH - 230) / 2

    def x(value: float) -> float:
        return middle + value / reach * (WIDTH - left) / 2.1

    lines = [f'<line x1="{middle}" x2="{middle}" y1="0" y2="{ROW * len(shown)}" stroke="#999"/>']
    for number, (check, gain) in enumerate(shown):
        y = ROW * number + ROW / 2
        colour = "#287" if check.passed else "#b33"
        lines.append(
            f'<text x="0" y="{y + 4}">{escape(check.name)}</text>'
            f'<line x1="{x(gain.low):.1f}" x2="{x(gain.high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
            f'<circle cx="{x(gain.mean):.1f}" cy="{y}" r="5" fill="{colour}"><title>{100 * gain.mean:+.2f}</title></circle>'
        )
    return f'<svg width="{WIDTH}" height="{ROW * len(shown)}">{"".join(lines)}</svg>'


def curve_plot(curve: Sequence[tuple[float, float]]) -> str:
    """By pass, the loss, and nDCG@10 on what was kept aside, each on its own scale, as SVG."""
    if len(curve) < 2:
        return "<p>nothing was fitted</p>"
    losses = [(at, loss) for at, (loss, _) in enumerate(curve) if loss == loss]  # noqa: PLR0124 -- NaN before any pass
    quality = [(at, value) for at, (_, value) in enumerate(curve)]
    last = len(curve) - 1
    return (
        f'<svg width="{WIDTH}" height="150">'
        + _line(losses, last=last, colour="#b33", text_x=0)
        + _line(quality, last=last, colour="#27a", text_x=WIDTH - 42)
        + '<text x="50" y="148">by pass: <tspan fill="#b33">loss</tspan> (left), '
        '<tspan fill="#27a">nDCG@10 on what was kept aside</tspan> (right)</text></svg>'
    )


def _line(points: Sequence[tuple[int, float]], *, last: int, colour: str, text_x: int) -> str:
    """A curve over passes 0 to `last` between its own lowest and highest value, which are written beside it."""
    if not points:
        return ""
    values = [value for _, value in points]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    places = " ".join(
        f"{50 + at * (WIDTH - 110) / last:.1f},{130 - 110 * (value - low) / span:.1f}" for at, value in points
    )
    return (
        f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'
        f'<text x="{text_x}" y="24" fill="{colour}">{high:.3f}</text>'
        f'<text x="{text_x}" y="134" fill="{colour}">{low:.3f}</text>'
    )


def _plain_check(check: Check) -> dict[str, JsonValue]:
    gain = check.gain
    return {
        "name": check.name, "passed": check.passed, "reason": check.reason,
        "gain": None if gain is None else {"mean": gain.mean, "low": gain.low, "high": gain.high, "queries": gain.queries},
    }  # fmt: skip
