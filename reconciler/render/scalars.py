"""Text → YAML scalars that every parser reads back as that same text.

YAML 1.1 (PyYAML, older tools) and YAML 1.2 (kustomize, kubectl) disagree on what ``on``, ``1e3`` or ``12:30`` is; what
either could take for anything but a string is quoted.
"""

import re

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_PLAIN_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|Ei)")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})


def yaml_scalar(value: object) -> str:
    """``value`` as a one-line YAML string, quoted only where it must be (``web`` → ``web``, ``2`` → ``"2"``)."""
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain or _PLAIN_QUANTITY.fullmatch(text) else quoted_scalar(text)


def quoted_scalar(value: object) -> str:
    """``value`` as a one-line double-quoted YAML string."""
    return '"' + "".join(_escaped(character) for character in str(value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
