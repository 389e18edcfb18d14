"""Delimited, aligned and plain text, logs, dumps and configuration."""

# ruff: noqa: E501 - long literals
from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

from base_ops.data_ingestion.models.format_recognition.samples.words import (
    moment,
    name,
    names,
    record,
    sentence,
    table,
    token,
    tree,
    words,
)

Maker = Callable[[Random, str], str]


def _delimited(delimiters: str) -> Maker:
    def make(rng: Random, lang: str) -> str:
        return _dirty(rng, _written(rng, lang, rng.choice(delimiters)), lang)

    return make


def _written(rng: Random, lang: str, delimiter: str) -> str:
    rows = table(rng, lang)
    if rng.random() < 0.25:
        rows = rows[1:]
    if rng.random() < 0.25:  # cells that need quotes
        place = rng.randrange(len(rows[0]))
        for row in rows:
            inner = rng.choice([delimiter + " ", "\n", ' "x" ', delimiter])
            row[place] = rng.choice([row[place], inner.join([row[place], words(rng, 2, lang)])])
    if delimiter == ";" and rng.random() < 0.5:
        rows = [[cell.replace(".", ",") if cell[:1].isdigit() else cell for cell in row] for row in rows]
    file = io.StringIO()
    quoting: Any = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    writer = csv.writer(
        file, delimiter=delimiter, quoting=quoting, quotechar=rng.choice('"""\''), lineterminator=rng.choice(_ENDS)
    )
    writer.writerows(rows)
    return file.getvalue()


_ENDS = ("\n", "\n", "\r\n", "\r")


def _dirty(rng: Random, text: str, lang: str) -> str:
    """As such files are found: titles above, notes below, ragged rows, empty lines, no end of line at the end."""
    lines = text.split("\n")
    chance = rng.random()
    if chance < 0.08:
        lines[:0] = [sentence(rng, lang) for _ in range(rng.randint(1, 3))]
    elif chance < 0.13:
        lines[:0] = ["# " + sentence(rng, lang) for _ in range(rng.randint(1, 4))]
    elif chance < 0.18:
        lines = [line + rng.choice([",", ";"]) for line in lines]
    elif chance < 0.23:
        lines.insert(rng.randrange(len(lines)), "")
    elif chance < 0.28 and len(lines) > 4:
        at = rng.randrange(1, len(lines) - 1)
        lines[at] = lines[at][: len(lines[at]) // 2]
    elif chance < 0.32:
        lines.append(rng.choice(["Total", "END OF FILE", sentence(rng, lang)]))
    return "\n".join(lines).rstrip("\n") + rng.choice(["\n", ""])


def csv_text(rng: Random, lang: str) -> str:
    if rng.random() < 0.06:  # one column of values
        rows = table(rng, lang, columns=1, rows=rng.randint(8, 60))
        return "\n".join(row[0] for row in rows if row[0] and " " not in row[0]) + "\n"
    if rng.random() < 0.15:  # few and short
        made = [
            [token(rng, rng.randint(1, 3)).lower() if row == 0 else str(rng.randint(0, 99)) for _ in range(3)]
            for row in range(rng.randint(2, 5))
        ]
        return rng.choice(_ENDS).join(",".join(row) for row in made) + "\n"
    if rng.random() < 0.15:  # cells that are sentences
        made = [[str(i), sentence(rng, lang), sentence(rng, lang), token(rng)] for i in range(rng.randint(3, 30))]
        file = io.StringIO()
        csv.writer(file, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])).writerows(made)
        return file.getvalue()
    return _delimited(",,,;")(rng, lang)


def txt(rng: Random, lang: str) -> str:
    return rng.choice([_prose, _prose, _markdown, _code, _notes, _ini, _app_log, _licence])(rng, lang)


def _prose(rng: Random, lang: str) -> str:
    paragraphs = []
    for _ in range(rng.randint(1, 12)):
        text = " ".join(sentence(rng, lang) for _ in range(rng.randint(1, 8)))
        paragraphs.append(_wrapped(text, rng.choice([60, 72, 80, 10_000])))
    return rng.choice(["\n\n", "\n"]).join(paragraphs) + "\n"


def _wrapped(text: str, width: int) -> str:
    lines, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) > width:
            lines.append(line.rstrip())
            line = ""
        line += word + " "
    return "\n".join([*lines, line.rstrip()])


def _licence(rng: Random, lang: str) -> str:
    head = f"Copyright (c) {rng.randint(1990, 2026)} {words(rng, 2, lang)}\n\n"
    return head + "\n".join(
        f"{i}. {_wrapped(sentence(rng, lang) + ' ' + sentence(rng, lang), 70)}" for i in range(1, 8)
    )


def _markdown(rng: Random, lang: str) -> str:
    parts = []
    for _ in range(rng.randint(2, 10)):
        parts.append("#" * rng.randint(1, 3) + " " + words(rng, rng.randint(1, 4), lang))
        parts.append(" ".join(sentence(rng, lang) for _ in range(rng.randint(1, 4))))
        if rng.random() < 0.4:
            parts.append("\n".join(f"- {words(rng, rng.randint(2, 8), lang)}" for _ in range(rng.randint(2, 5))))
        if rng.random() < 0.3:
            parts.append(f"```\n{_code(rng, lang)}```")
        if rng.random() < 0.2:
            rows = table(rng, lang, rows=3, columns=3)
            parts.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return "\n\n".join(parts) + "\n"


def _code(rng: Random, lang: str) -> str:
    lines = [f"import {name(rng).replace(' ', '_').lower()}" for _ in range(rng.randint(0, 3))]
    for _ in range(rng.randint(1, 8)):
        lines.append(rng.choice(["def {}(x, y):", "function {}(a, b) {{", "class {}:", "public void {}() {{"]).format(
            name(rng).replace(" ", "_")))  # fmt: skip
        for _ in range(rng.randint(1, 6)):
            target = name(rng).replace(" ", "_")
            lines.append(rng.choice([
                "    # {0} {1}", "    return {0} + {1}", "    {0} = {1}(2);", "    if {0} > {1}:", "        print({0}, {1})",
                "    // {0} of {1}", "    }}", "    for {0} in {1}:", "    {0} = [{1} for x in y]",
            ]).format(target, words(rng, 1)))  # fmt: skip
        lines.append("")
    return "\n".join(lines) + "\n"


def _notes(rng: Random, lang: str) -> str:
    lines = [
        words(rng, rng.randint(1, 9), lang) + rng.choice(["", ":", "...", " (2)"]) for _ in range(rng.randint(3, 40))
    ]
    for _ in range(rng.randint(1, len(lines))):
        lines.insert(rng.randrange(len(lines)), "")
    return "\n".join(lines) + "\n"


def _ini(rng: Random, lang: str) -> str:
    lines = []
    for _ in range(rng.randint(1, 4)):
        lines.append(f"[{words(rng, 1)}]")
        lines += [f"{key.replace(' ', '_')}{rng.choice(['=', ' = '])}{words(rng, 2, lang)}" for key in names(rng, 4)]
        lines.append("")
    return "\n".join(lines)


def _app_log(rng: Random, lang: str) -> str:
    style = rng.choice(["[{t:%Y-%m-%d %H:%M:%S}] {level}: {text}", "{level} {t:%H:%M:%S} {name} - {text}",
                        "{t:%m/%d %H:%M:%S.%f} {level:<7} [{name}] {text}"])  # fmt: skip
    return "".join(
        style.format(t=moment(rng), level=rng.choice(["INFO", "WARN", "ERROR", "DEBUG"]), name=words(rng, 1),
                     text=sentence(rng, lang)) + "\n"
        for _ in range(rng.randint(3, 80))
    )  # fmt: skip


def fixed_width(rng: Random, lang: str) -> str:
    """Columns padded to their width; or records of digits and codes run together."""
    rows = table(rng, lang, columns=rng.randint(3, 9), rows=rng.randint(5, 120))
    if rng.random() < 0.3:
        rows = rows[1:]
    spare = rng.randint(1, 4)
    widths = [max(len(row[i]) for row in rows) + spare for i in range(len(rows[0]))]
    sides: list[Callable[[str, int], str]] = [rng.choice([str.ljust, str.rjust]) for _ in widths]
    if rng.random() < 0.25:
        widths, sides = [w - spare for w in widths], [_zero_filled] * len(widths)
        rows = [[cell.replace(" ", "")[:w] for cell, w in zip(row, widths, strict=True)] for row in rows]
        rows = [[rng.choice("DHT") + token(rng, 2), *row] for row in rows]
        widths, sides = [3, *widths], [str.ljust, *sides]
    lines = ["".join(s(c, w) for s, c, w in zip(sides, row, widths, strict=True)) for row in rows]
    return rng.choice(["\n", "\r\n"]).join(lines) + "\n"


def _zero_filled(text: str, width: int) -> str:
    return text.rjust(width, "0")


def json_text(rng: Random, lang: str) -> str:
    small = [0, 1, -1, "", "a", None, True, 1.5, 1e10, -2.5e-3, "2020-01-01", words(rng, 1, lang), token(rng), {}, []]
    value: Any = rng.choice([
        lambda: rng.choices(small, k=rng.randint(0, 5)), lambda: {name(rng): rng.choice(small)}, dict,
        lambda: record(rng, lang, 3), lambda: [record(rng, lang) for _ in range(rng.randint(1, 30))],
        lambda: {name(rng): [record(rng, lang, 1) for _ in range(rng.randint(1, 20))], **record(rng, lang)},
        lambda: [tree(rng, lang) for _ in range(rng.randint(1, 30))],
        lambda: {"$schema": "https://x.org/schema", "$id": "https://x.org/" + token(rng), "$defs": {
            name(rng): {"type": "object", "properties": {k: {"type": "string", "description": sentence(rng)} for k in
                        names(rng, rng.randint(1, 9))}, "required": names(rng, 2)} for _ in range(rng.randint(1, 4))}},
        lambda: [{"description": sentence(rng), "schema": record(rng, lang), "tests": [record(rng, lang, 1)]}],
        lambda: {"$schema": "http://x.org/draft/schema#", "type": "object", "properties": record(rng, lang)},
    ])()  # fmt: skip
    indent, separators = rng.choice([(None, (",", ":")), (None, None), (2, None), (4, None), ("\t", None)])
    return json.dumps(value, indent=indent, separators=separators, ensure_ascii=rng.random() < 0.3) + rng.choice(
        ["\n", ""]
    )


def _json_line(rng: Random, value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=rng.choice([None, (",", ":")]))


def ndjson(rng: Random, lang: str) -> str:
    rows: list[dict[str, Any]] = []
    keys = names(rng, rng.randint(0, 8))
    is_log = rng.random() < 0.25  # of no convention that tells more than JSON Lines
    time, level, text = rng.choice(
        [("timestamp", "level", "message"), ("ts", "level", "msg"), ("time", "severity", "message")]
    )
    for _ in range(rng.randint(2, 60)):
        row: dict[str, Any] = {key: tree(rng, lang, 1) for key in keys}
        if is_log:
            row = {
                time: moment(rng).isoformat(),
                level: rng.choice(["info", "ERROR"]),
                text: sentence(rng, lang),
                **row,
            }
        rows.append(row)
    return rng.choice(["\n", "\n", "\r\n"]).join(_json_line(rng, row) for row in rows) + rng.choice(["\n", ""])


def jsonlog(rng: Random, lang: str) -> str:
    """By the conventions that are known: bunyan, pino, ecs, logstash, gelf, docker, cloudwatch, structlog."""
    kind = rng.randrange(8)
    more = names(rng, rng.randint(0, 3))
    lines = []
    for _ in range(rng.randint(2, 60)):
        t, text = moment(rng), sentence(rng, lang)
        iso, epoch, pid = t.isoformat().replace("+00:00", "Z"), int(t.timestamp() * 1000), rng.randint(1, 9999)
        common = {"pid": pid, "hostname": words(rng, 1)}
        kinds: list[dict[str, Any]] = [
            {"name": words(rng, 1), **common, "level": rng.choice([20, 30, 50]), "msg": text, "time": iso, "v": 0},
            {"level": rng.choice([30, 40, 50]), "time": epoch, **common, "msg": text},
            {"@timestamp": iso, "log.level": "INFO", "message": text, "ecs.version": "1.2.0"},
            {"@timestamp": iso, "@version": "1", "message": text, "level": "INFO"},
            {"version": "1.1", "host": words(rng, 1), "short_message": text, "timestamp": epoch / 1000, "level": 6},
            {"log": text + "\n", "stream": rng.choice(["stdout", "stderr"]), "time": iso},
            {"timestamp": epoch, "message": text, "ingestionTime": epoch + 7},
            {"event": text, "level": rng.choice(["info", "error"]), "timestamp": iso},
        ]
        lines.append(_json_line(rng, kinds[kind] | {key: tree(rng, lang, 0) for key in more}))
    return "\n".join(lines) + "\n"


def jsonapi(rng: Random, lang: str) -> str:
    def resource() -> dict[str, Any]:
        made: dict[str, Any] = {
            "type": words(rng, 1),
            "id": str(rng.randint(1, 9999)),
            "attributes": record(rng, lang, 1),
        }
        if rng.random() < 0.5:
            made["relationships"] = {"author": {"data": {"type": "people", "id": str(rng.randint(1, 99))}}}
        return made

    document: dict[str, Any] = {
        "data": [resource() for _ in range(rng.randint(1, 12))] if rng.random() < 0.7 else resource()
    }
    if rng.random() < 0.5:
        document["included"] = [resource() for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.5:
        document = {"jsonapi": {"version": rng.choice(["1.0", "1.1"])}, **document}
    if rng.random() < 0.4:
        document["links"] = {"self": "https://x.org/" + words(rng, 1)}
    return json.dumps(document, indent=rng.choice([None, 2, 4]), ensure_ascii=False)


def yaml_text(rng: Random, lang: str) -> str:
    import yaml

    value = rng.choice([record(rng, lang, 3), [record(rng, lang, 1) for _ in range(rng.randint(2, 12))]])
    text = yaml.safe_dump(
        value, allow_unicode=True, default_flow_style=rng.choice([False, False, False, None]), sort_keys=False,
        indent=rng.choice([2, 4]),
    )  # fmt: skip
    if rng.random() < 0.35:  # texts of several lines, longer notes
        block = "\n".join("    " + rng.choice([sentence(rng, lang), f"select {words(rng, 1)}, b from t where x = 1", "echo $X"])
                          for _ in range(rng.randint(1, 8)))  # fmt: skip
        text += f'steps:\n- task: {words(rng, 1)}\n  script: {rng.choice("|>")}\n{block}\n  args: [1, "{token(rng)}"]\n'
        text = "".join(f"# {sentence(rng, lang)}\n" for _ in range(rng.randint(0, 14))) + text
    head = rng.choice(["", "", "---\n", "# " + sentence(rng, lang) + "\n", "%YAML 1.2\n---\n"])
    if rng.random() < 0.3:
        text = text.replace("\n", "  # " + words(rng, 2) + "\n", 2)
    return head + text


def toml_text(rng: Random, lang: str) -> str:
    def value() -> str:
        made = rng.choice([
            lambda: json.dumps(words(rng, rng.randint(1, 5), lang), ensure_ascii=False),
            lambda: str(rng.randint(-99, 10**6)), lambda: f"{rng.uniform(0, 99):.3f}",
            lambda: rng.choice(["true", "false"]), lambda: moment(rng).isoformat(),
            lambda: json.dumps([words(rng, 1) for _ in range(rng.randint(0, 4))]), lambda: "'" + token(rng) + "'",
            lambda: "[\n" + "".join(f'  "{words(rng, 2)}",\n' for _ in range(rng.randint(1, 4))) + "]",
            lambda: "{ version = \"" + str(rng.randint(1, 9)) + "\", optional = true }",
        ])  # fmt: skip
        return str(made())

    def pairs() -> list[str]:
        return [f"{key.replace(' ', '-').lower()} = {value()}" for key in names(rng, rng.randint(1, 8))]

    lines = pairs() if rng.random() < 0.6 else []
    if rng.random() < 0.3:
        lines.insert(0, "# " + sentence(rng, lang))
    for _ in range(rng.randint(0 if lines else 1, 5)):
        title = ".".join(name(rng).replace(" ", "-").lower() for _ in range(rng.randint(1, 3)))
        lines += ["", f"[{title}]" if rng.random() < 0.8 else f"[[{title}]]", *pairs()]
    return "\n".join(lines).lstrip("\n") + "\n"


def common_log(rng: Random, lang: str) -> str:
    agent = rng.random() < 0.6
    lines = []
    for _ in range(rng.randint(1, 80)):
        ip = f"{rng.randint(1, 255)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
        host = rng.choice([ip, ip, f"{token(rng, 5).lower()}.example.com", "::1"])
        request = f"{rng.choice(['GET', 'GET', 'POST', 'HEAD'])} /{words(rng, 1)}/{words(rng, 1, lang)}.html HTTP/1.1"
        line = (f"{host} - {rng.choice(['-', '-', 'frank'])} [{moment(rng):%d/%b/%Y:%H:%M:%S} +0{rng.randint(0, 9)}00] "
                f'"{request}" {rng.choice([200, 200, 304, 404, 500])} {rng.choice([rng.randint(0, 99999), "-"])}')  # fmt: skip
        tail = f' "{rng.choice(["-", "https://x.org/" + words(rng, 1)])}" "Mozilla/5.0 (X11; Linux x86_64) {words(rng, 2)}"'
        lines.append(line + (tail if agent else ""))
    return "\n".join(lines) + "\n"


def syslog(rng: Random, lang: str) -> str:
    style = rng.randrange(4)
    lines = []
    for _ in range(rng.randint(1, 80)):
        pri, host, app = rng.randint(0, 191), words(rng, 1), rng.choice(["sshd", "su", "kernel", "cron", "myapp"])
        text, pid, t = sentence(rng, lang), rng.randint(1, 99999), moment(rng)
        if style == 0:
            data = rng.choice(["-", f'[x@32473 iut="{rng.randint(1, 9)}" eventID="{pid}"]'])
            line = (
                f"<{pri}>1 {t:%Y-%m-%dT%H:%M:%S.%f}Z {host} {app} {rng.choice([pid, '-'])} ID{pid % 100} {data} {text}"
            )
        elif style == 1:
            line = f"<{pri}>{t:%b} {t.day:>2} {t:%H:%M:%S} {host} {app}[{pid}]: {text}"
        elif style == 2:
            line = f"{t:%b} {t.day:>2} {t:%H:%M:%S} {host} {app}[{pid}]: {text}"
        else:
            line = f"{t:%Y-%m-%dT%H:%M:%S.%f}+00:00 {host} {app}[{pid}]: {text}"
        lines.append(line)
    if style == 0 and rng.random() < 0.3:
        return "".join(f"{len(line.encode())} {line}" for line in lines)
    return "\n".join(lines) + "\n"


def sql_dump(rng: Random, lang: str) -> str:
    rows = table(rng, lang, columns=rng.randint(2, 8))
    columns, title = [c.replace(" ", "_") for c in rows[0]], words(rng, 1)
    mark = rng.choice(['"', "`", ""])
    quoted = ", ".join(mark + c + mark for c in columns)
    kinds = ["INT", "VARCHAR(255) NOT NULL", "TEXT", "DECIMAL(10,2)", "TIMESTAMP"]
    definition = ",\n".join(f"  {mark}{c}{mark} {rng.choice(kinds)}" for c in columns)
    parts = []
    if rng.random() < 0.6:
        parts.append(rng.choice(["--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n",
                                 "-- MySQL dump 10.13  Distrib 8.0\n--\n/*!40101 SET NAMES utf8 */;\n",
                                 "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n", "-- " + sentence(rng, lang) + "\n"]))  # fmt: skip
    if rng.random() < 0.7 or rng.random() < 0.1:
        parts.append(f"CREATE TABLE {mark}{title}{mark} (\n{definition}\n);\n")
    if rng.random() < 0.25:
        body = "\n".join("\t".join(row) for row in rows[1:])
        parts.append(f"COPY public.{title} ({', '.join(columns)}) FROM stdin;\n{body}\n\\.\n")
        return "\n".join(parts)
    literals = ["(" + ", ".join(_literal(cell) for cell in row) + ")" for row in rows[1:]]
    into = rng.choice([f"INSERT INTO {mark}{title}{mark} ({quoted}) VALUES ", f"INSERT INTO {mark}{title}{mark} VALUES ",
                       f"insert into {title} ({quoted}) values "])  # fmt: skip
    parts.append(
        "\n".join(f"{into}{row};" for row in literals) if rng.random() < 0.6 else into + ",\n".join(literals) + ";"
    )
    return "\n".join(parts) + "\n"


def _literal(cell: str) -> str:
    return cell if cell.replace(".", "", 1).replace("-", "", 1).isdigit() else "'" + cell.replace("'", "''") + "'"


def db2(rng: Random, lang: str) -> str:
    """DEL: texts in quotes, decimals with sign and leading zeros, timestamps in DB2's own form."""
    kinds: list[Callable[[], str]] = [
        lambda: f"{rng.choice('+-')}{rng.randint(0, 10**9):015}.{rng.randint(0, 99):02}",
        lambda: f"{moment(rng):%Y-%m-%d-%H.%M.%S.%f}",
        lambda: '"' + words(rng, rng.randint(1, 3), lang) + '"', lambda: str(rng.randint(0, 10**6)),
        lambda: f"{moment(rng):%Y%m%d}", lambda: '"' + token(rng, 6) + '"',
    ]  # fmt: skip
    chosen = [rng.choice(kinds[:2]), *(rng.choice(kinds) for _ in range(rng.randint(1, 8)))]
    rng.shuffle(chosen)
    mark = rng.choice([",", ",", ";"])
    return "\n".join(mark.join(kind() for kind in chosen) for _ in range(rng.randint(2, 60))) + "\n"


TEXTS: dict[str, Maker] = {
    "csv": csv_text, "tsv": _delimited("\t"), "pipe": _delimited("|"), "json": json_text, "ndjson": ndjson,
    "jsonapi": jsonapi, "jsonlog": jsonlog, "yaml": yaml_text, "toml": toml_text, "txt": txt,
    "fixed_width": fixed_width, "common_log": common_log, "syslog": syslog, "sql_dump": sql_dump, "db2": db2,
}  # fmt: skip
