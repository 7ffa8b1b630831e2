"""Expand a panel's SQL the way browser and plugin do, so that it can run on the engine without Grafana.

The browser resolves `$__conditionalAll` and the variables, the plugin's back end the rest. `plugin` is "4" or "3":
version 3 writes the time filter with quoted epochs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Variables = Mapping[str, str | list[str]]
ALL = "$__all"


@dataclass(frozen=True)
class Range:
    """Time range of a dashboard, in seconds since the Unix epoch, and the interval Grafana computed for a panel."""

    start: int
    end: int
    interval: int = 60


def expand(sql: str, span: Range, variables: Variables, plugin: str = "4") -> str:
    """Expand everything; a macro or variable that is not known stays and raises.

    >>> expand("SELECT $__interval_s", Range(0, 60), {})
    'SELECT 60'
    """
    sql = _conditional_all(sql, variables)
    sql = _variables(sql, variables)
    sql = _macros(sql, span, plugin)
    if "$" in sql:
        raise ValueError(f"not expanded: {sql[sql.index('$') :][:40]}")
    return sql


def _conditional_all(sql: str, variables: Variables) -> str:
    macro = "$__conditionalAll("
    while (start := sql.rfind(macro)) != -1:
        arguments, end = _arguments(sql, start + len(macro))
        if len(arguments) != 2:
            raise ValueError(f"$__conditionalAll takes two arguments: {arguments}")
        name = re.search(r"\$\{?(\w+)", arguments[1])
        if name is None:
            raise ValueError(f"second argument must be a variable: {arguments[1]}")
        value = variables[name[1]]
        everything = value in ("", ALL) or value == [ALL]
        sql = sql[:start] + ("1=1" if everything else arguments[0]) + sql[end:]
    return sql


def _variables(sql: str, variables: Variables) -> str:
    def quoted(match: re.Match[str]) -> str:
        value = variables[match[1]]
        values = [value] if isinstance(value, str) else value  # only quotes are escaped, as Grafana does
        return ",".join("'" + one.replace("'", "\\'") + "'" for one in values)

    return re.sub(r"\$\{(\w+):singlequote\}", quoted, sql)


def _macros(sql: str, span: Range, plugin: str) -> str:
    start, end = f"toDateTime({span.start})", f"toDateTime({span.end})"
    low, high = (f"'{span.start}'", f"'{span.end}'") if plugin == "3" else (start, end)
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {low} AND \1 <= {high}", sql)
    sql = re.sub(
        r"\$__timeInterval\((\w+)\)",
        rf"toStartOfInterval(toDateTime(\1), INTERVAL {max(1, span.interval)} second)",
        sql,
    )
    for name, value in (("fromTime", start), ("toTime", end), ("interval_s", str(max(1, span.interval)))):
        sql = re.sub(rf"\$__{name}\b", value, sql)
    return sql


def _arguments(sql: str, start: int) -> tuple[list[str], int]:
    """Split macro arguments at commas outside brackets, as the plugin does; the end is behind the closing bracket."""
    depth, begin, found = 0, start, []
    for index in range(start, len(sql)):
        letter = sql[index]
        if letter == "(":
            depth += 1
        elif letter == "," and depth == 0:
            found.append(sql[begin:index])
            begin = index + 1
        elif letter == ")":
            if depth == 0:
                return [*found, sql[begin:index]], index + 1
            depth -= 1
    raise ValueError("a macro's bracket is not closed")
