"""One line a measure: what, how much, the limit beside it, and the ratio."""


def heading(name: str) -> None:
    print(f"\n== {name}")


def line(
    what: str, value: float, unit: str = "s", *, against: str = "", limit: float | None = None, wanted: str = ""
) -> None:
    """``value`` beside ``limit`` (same unit), their ratio, and what is wanted of it."""
    text = f"{what:<62} {value:>9.3f} {unit}"
    if limit is not None:
        text += f"   {against} {limit:.3f} {unit}   ratio {value / limit:.2f}" if limit else f"   {against} 0"
    print(text + (f"   (wanted: {wanted})" if wanted else ""), flush=True)
