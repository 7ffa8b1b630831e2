"""National identity, tax and health numbers: strict spellings, confirmed by python-stdnum's validators.

There are two families. Numbers with letters in fixed places (Spanish DNI, Italian codice fiscale ...) are recognised
in messages from any region, because format and validator rarely match by chance. Numbers of digits alone are checked
with the validators of the message's region; those that match none are still redacted as [NUMBER] when long enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module

Validator = Callable[[str], bool]

_LETTERED: tuple[tuple[str, str], ...] = (
    (r"\d{8}[ -]?[A-Z]", "es.dni"),
    (r"[XYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie"),
    (r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    (r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", "in_.pan"),
    (r"\d{7}[A-W][ABHIWTX]?", "ie.pps"),
    (r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", "mx.curp"),
    (r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", "fi.hetu"),
    (r"\d{17}X", "cn.ric"),
    (r"\d{1,2}\.?\d{3}\.?\d{3}-[\dK]", "cl.rut"),
    (r"\d{8}[ -]?\d[ -]?[A-Z]{2}\d", "pt.cc"),
)
_NINO = r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"
"""British national insurance number: it has no check digit, so only the pattern and its prefixes are checked."""

_BY_REGION: dict[str, tuple[str, ...]] = {
    "US": ("us.ssn", "us.itin"),
    "GB": ("gb.nhs", "gb.utr"),
    "DE": ("de.idnr",),
    "FR": ("fr.nir", "fr.nif"),
    "NL": ("nl.bsn",),
    "IN": ("in_.aadhaar", "in_.vid"),
    "BR": ("br.cpf",),
    "CA": ("ca.sin", "ca.bc_phn"),
    "PL": ("pl.pesel",),
    "SE": ("se.personnummer",),
    "BE": ("be.nn", "be.bis"),
    "PT": ("pt.nif",),
    "CH": ("ch.ssn",),
    "AT": ("at.vnr",),
    "AU": ("au.tfn",),
    "ZA": ("za.idnr",),
    "DK": ("dk.cpr",),
    "NO": ("no.fodselsnummer",),
    "TR": ("tr.tckimlik",),
    "CZ": ("cz.rc",),
    "RO": ("ro.cnp",),
    "KR": ("kr.rrn",),
    "CN": ("cn.ric",),
    "JP": ("jp.in_",),
    "IL": ("il.idnr",),
    "TH": ("th.pin",),
    "MY": ("my.nric",),
}

_SSN = re.compile(r"\d{3}([- ])\d{2}\1\d{4}\Z")
_NOT_DIGIT = re.compile(r"\D+")


def _validator(name: str) -> Validator:
    check: Validator = import_module(f"stdnum.{name}").is_valid
    return check


_CHECKS: tuple[Validator | None, ...] = (None, *(_validator(name) for _, name in _LETTERED))
_LETTERED_PATTERN = re.compile(
    r"(?<![A-Za-z0-9])(?:(" + _NINO + ")|" + "|".join(f"({pattern})" for pattern, _ in _LETTERED) + r")(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_REGIONAL: dict[str, tuple[Validator, ...]] = {
    region: tuple(_validator(name) for name in names) for region, names in _BY_REGION.items()
}


def replace_lettered(text: str, placeholder: str) -> tuple[str, int]:
    """Replace valid numbers that contain letters; return the text and the number of replacements.

    >>> replace_lettered("mi DNI es 54362315K, code 54362315A", "[ID]")
    ('mi DNI es [ID], code 54362315A', 1)
    """
    found = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal found
        check = _CHECKS[(match.lastindex or 1) - 1]
        if check is not None and not check(match.group().upper()):
            return match.group()
        found += 1
        return placeholder

    return _LETTERED_PATTERN.sub(replaced, text), found


def is_national_id(run: str, region: str) -> bool:
    """Whether a run of digits and separators is a national number of `region` (two letters, upper case)."""
    digits = _NOT_DIGIT.sub("", run)
    if region == "US" and not _SSN.match(run):
        return False  # in any other grouping, nine digits are too often another kind of number
    return any(check(digits) for check in _REGIONAL.get(region, ()))
