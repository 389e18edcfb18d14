"""People with planted duplicates, for tests of matching."""

import random

import polars as pl

_SYLLABLES = [
    "ba",
    "ber",
    "cor",
    "dan",
    "del",
    "el",
    "fen",
    "gar",
    "hol",
    "is",
    "jo",
    "kar",
    "lin",
    "mar",
    "nor",
    "ol",
    "pe",
    "qui",
    "ros",
    "san",
    "tor",
    "ul",
    "vin",
    "wes",
    "yor",
    "zan",
]
_COLUMNS = ('given "name"', "^sur.name$", "addr's line", "post code", "born", "phone", "e-mail")


def people(
    count: int, duplicates: int, seed: int = 7, errors: tuple[int, int] = (1, 3)
) -> tuple[pl.DataFrame, list[int]]:
    """Records in random order under awkward names, and per row the entity. A duplicate has errors in some columns."""
    drawn = random.Random(seed)
    given, family, streets = ([_word(drawn, 2, 3) for _ in range(n)] for n in (150, 400, 200))
    rows = [_person(drawn, given, family, streets) for _ in range(count)]
    entity = list(range(count))
    for original in drawn.sample(range(count), duplicates):
        row = list(rows[original])
        for column in drawn.sample(range(len(row)), drawn.randint(*errors)):
            row[column] = None if drawn.random() < 0.25 else _typo(drawn, row[column])
        rows.append(row)
        entity.append(original)
    order = list(range(len(rows)))
    drawn.shuffle(order)
    return pl.DataFrame([rows[i] for i in order], _COLUMNS, orient="row"), [entity[i] for i in order]


def _word(drawn: random.Random, least: int, most: int) -> str:
    return "".join(drawn.choice(_SYLLABLES) for _ in range(drawn.randint(least, most))).capitalize()


def _person(drawn: random.Random, given: list[str], family: list[str], streets: list[str]) -> list[str]:
    first, last = drawn.choice(given), drawn.choice(family)
    born = f"{drawn.randint(1930, 2005)}-{drawn.randint(1, 12):02}-{drawn.randint(1, 28):02}"
    address = f"{drawn.randint(1, 150)} {drawn.choice(streets)} street"
    mail = f"{first}.{last}{drawn.randint(1, 99)}@{drawn.choice(streets)}.org".lower()
    return [first, last, address, str(drawn.randint(10000, 99999)), born, str(drawn.randint(10**8, 10**9 - 1)), mail]


def _typo(drawn: random.Random, text: str) -> str:
    at = drawn.randrange(len(text))
    other = drawn.choice("0123456789" if text[at].isdigit() else "aeioulmnrst")
    return drawn.choice([text[:at] + other + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + other + text[at:]])


def scores(cluster: list, entity: list) -> tuple[float, float]:
    """Precision and recall of the pairs that clusters imply."""
    both = list(zip(cluster, entity, strict=True))
    found, there, right = (sum(g.count(x) - 1 for x in g) for g in (cluster, entity, both))
    return right / max(found, 1), right / there


def clusters_of(found, rows: int) -> list[int]:
    """Per row its cluster; a record without duplicates is one of its own."""
    cluster = list(range(-rows, 0))
    for row, number in found.records.select("row", "cluster").iter_rows():
        cluster[row] = number
    return cluster
