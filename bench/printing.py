"""One line a measure: what, how much, the limit beside it, and the ratio."""


def heading(name: str) -> None:
    print(f"\n== {name}", flush=True)


def note(text: str) -> None:
    """What a measure was taken on, or found beside its figures."""
    print(f"   {text}", flush=True)


def line(
    what: str, value: float, unit: str = "s", *, against: str = "", limit: float | None = None, wanted: str = ""
) -> None:
    """``value`` beside ``limit`` (same unit), their ratio, and what is wanted of it."""
    text = f"{what:<62} {_figure(value)} {unit}"
    if limit is not None:
        ratio = f"   ratio {value / limit:.2f}" if limit else ""
        text += f"   {against} {_figure(limit).strip()} {unit}{ratio}"
    print(text + (f"   (wanted: {wanted})" if wanted else ""), flush=True)


def _figure(value: float) -> str:
    return f"{value:>9.3f}" if value < 1000 else f"{value:>9,.0f}"
