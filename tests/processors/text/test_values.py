"""Values survive normalisation: made values are written, normalised, and read back from the words.

The reader of words here is independent of the normaliser's tables.
"""

from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest

from processors.text.normalizer import normalize

N_PER_KIND = 300
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
ONES = {word: value for value, word in enumerate(_SMALL.split())}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
TENS = {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
RANKS = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9, "twelfth": 12}
_MONTHS = "January February March April May June July August September October November December"
MONTHS = _MONTHS.split()


def read_number(words: str) -> Fraction:
    """Return the value of a number in words, which may be negative, a decimal, or a list of digits."""
    parts = words.replace("-", " ").split()
    if parts[0] == "minus":
        return -read_number(" ".join(parts[1:]))
    if "point" in parts:
        place = parts.index("point")
        magnitude = SCALES[parts.pop()] if parts[-1] in SCALES else 1
        digits = "".join(str(ONES[part]) for part in parts[place + 1 :])
        whole = read_number(" ".join(parts[:place])) if place else Fraction(0)
        return magnitude * (whole + Fraction(int(digits), 10 ** len(digits)))
    total = group = Fraction(0)
    before = 0
    for part in parts:
        value = ONES.get(part, TENS.get(part))
        if value is not None:
            assert not before or (before >= 20 and value < 10) or before >= 100, f"{words}: no single number"
            group += value
            before = value
        elif part == "hundred":
            group *= 100
            before = 100
        else:
            total += group * SCALES[part]
            group, before = Fraction(0), 100
    return total + group


def read_rank(words: str) -> int:
    """Return the value of an ordinal in words."""
    *rest, last = words.replace("-", " ").split()
    value = RANKS.get(last)
    if value is None:
        stem = last.removesuffix("th")
        stem = stem.removesuffix("ie") + "y" if stem.endswith("ie") else stem
        rest, value = [*rest, stem], 0
    return int((read_number(" ".join(rest)) if rest else 0) + value)


def read_year(words: str) -> int:
    """Return a year said in halves, or as a number."""
    parts = words.replace("-", " ").split()
    for cut in range(1, len(parts)):
        century, rest = " ".join(parts[:cut]), parts[cut:]
        if "thousand" in parts or not set(century.split()) <= {*ONES, *TENS}:
            break
        try:
            high = read_number(century)
            low = Fraction(0) if rest == ["hundred"] else read_number(" ".join(rest).replace("oh ", ""))
        except (AssertionError, KeyError):
            continue
        if 10 <= high < 100 and low < 100:
            return int(100 * high + low)
    return int(read_number(words))


def read_digits(words: str) -> str:
    """Return figures said one by one, and round hundreds, without the commas between their groups."""
    digits = ""
    for part in words.replace(",", "").split():
        digits += "00" if part == "hundred" else "+" if part == "plus" else str(ONES[part])
    return digits


def roman(number: int) -> str:
    written = ""
    for value, letters in (
        (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
        (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
    ):  # fmt: skip
        written += letters * (number // value)
        number %= value
    return written


def ending(number: int) -> str:
    return "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def spelled(rng: random.Random, number: Fraction) -> str:
    """Return a number in figures, with or without grouping commas."""
    whole, decimals = int(number), number - int(number)
    written = f"{whole:,}" if rng.random() < 0.5 and not 1000 <= whole < 10000 else str(whole)
    if 1000 <= whole < 10000:
        written = f"{whole:,}"  # without the comma it is a year
    return written if not decimals else f"{written}.{int(decimals * 100):02d}"


def whole_number(rng: random.Random) -> Fraction:
    return Fraction(rng.randrange(10 ** rng.randrange(1, 9)))


def numbers(rng):
    value = whole_number(rng) + Fraction(rng.choice((0, 0, 25, 50, 7)), 100)
    minus = rng.random() < 0.2 and value != 0
    return (
        (-value if minus else value),
        f"It is {'-' if minus else ''}{spelled(rng, value)}.",
        lambda said: read_number(said.removeprefix("It is ").rstrip(".")),
    )


def ordinals(rng):
    value = int(whole_number(rng)) % 10000 + 1
    written = f"the {value:,}{ending(value)} one" if rng.random() < 0.5 else f"the {value}{ending(value)} one"
    return value, written, lambda said: read_rank(said.removeprefix("the ").removesuffix(" one"))


CURRENCIES = {
    "dollar": "$", "pound": "£", "euro": "€", "U S dollar": "US$", "Canadian dollar": "C$", "Singapore dollar": "S$",
    "Hong Kong dollar": "HK$", "New Taiwan dollar": "NT$",
}  # fmt: skip
MAGNITUDES = {"million": (" million", "m", "-million"), "billion": (" billion", "bn"), "thousand": ("k", "K")}


def read_money(said: str) -> tuple[Fraction, str]:
    """Return an amount and its currency, in the singular."""
    words = said.removeprefix("It cost ").rstrip(".")
    names = "|".join(sorted(CURRENCIES, key=len, reverse=True))
    found = re.fullmatch(rf"(minus )?(.*?) ({names})s?(?: and (.*) (?:cents?|pence|penny))?", words)
    if found is None:
        only_cents = re.fullmatch(r"(.*) (?:cents?|pence|penny)", words)
        assert only_cents, said
        return read_number(only_cents[1]) / 100, ""
    value = read_number(found[2]) + (read_number(found[4]) / 100 if found[4] else 0)
    return (-value if found[1] else value), found[3]


def money(rng):
    currency = rng.choice(list(CURRENCIES))
    if rng.random() < 0.4:
        value = Fraction(rng.randrange(1, 1000), rng.choice((1, 1, 10)))
        name, forms = rng.choice(list(MAGNITUDES.items()))
        figures = str(int(value)) if value.denominator == 1 else f"{float(value):.1f}"
        written, value = figures + rng.choice(forms), value * SCALES[name]
    else:
        value = whole_number(rng) + 1 + Fraction(rng.choice((0, 50, 99, 5)), 100)
        written = spelled(rng, value)
    if currency in ("dollar", "pound", "euro") and rng.random() < 0.4:
        code = {"dollar": "USD", "pound": "GBP", "euro": "EUR"}[currency]
        written = rng.choice((f"{code} {written}", f"{written} {code}"))
    else:
        written = CURRENCIES[currency] + written
    return (value, currency), f"It cost {written}.", read_money


UNITS = {
    "km": "kilometers", "kg": "kilograms", "m/s": "meters per second", "m/s2": "meters per second squared",
    "m/s²": "meters per second squared", "kg/m³": "kilograms per cubic meter", "W/m2": "watts per square meter",
    "cm²": "square centimeters", "m³": "cubic meters", "°C": "degrees Celsius", "%": "percent", "ml": "milliliters",
    "km/h": "kilometers per hour", "kWh/m2": "kilowatt hours per square meter", "mg/dL": "milligrams per deciliter",
}  # fmt: skip


def units(rng):
    unit = rng.choice(list(UNITS))
    value = whole_number(rng) + 2 + Fraction(rng.choice((0, 0, 25)), 100)
    gap = rng.choice(("", " "))
    read = lambda said: (read_number(said.removesuffix(f" {UNITS[unit]} of it")), UNITS[unit])  # noqa: E731
    return (value, UNITS[unit]), f"{spelled(rng, value)}{gap}{unit} of it", read


def read_date(said: str) -> tuple[int, int, int]:
    words = said.removeprefix("On ").removesuffix(" we met").replace(",", "")
    if found := re.fullmatch(rf"({'|'.join(MONTHS)}) (\S+) (.*)", words):
        return read_year(found[3]), MONTHS.index(found[1]) + 1, read_rank(found[2])
    found = re.fullmatch(rf"the (\S+) of ({'|'.join(MONTHS)}) (.*)", words)
    assert found, said
    return read_year(found[3]), MONTHS.index(found[2]) + 1, read_rank(found[1])


def dates(rng):
    year, month, day = rng.randrange(1100, 2100), rng.randrange(1, 13), rng.randrange(1, 29)
    name = MONTHS[month - 1]
    written = rng.choice((
        f"{year}-{month:02d}-{day:02d}", f"{month}/{day}/{year}", f"{day:02d}.{month:02d}.{year}",
        f"{month:02d}-{day:02d}-{year}", f"{name} {day}, {year}", f"{day} {name} {year}", f"{name[:3]} {day}, {year}"
        if month not in (5, 9) else f"{name} {day}{ending(day)}, {year}",
    ))  # fmt: skip
    return (year, month, day), f"On {written} we met", read_date


def read_time(said: str) -> tuple[int, int, str]:
    words = said.removeprefix("Come at ").rstrip(".")
    half = words[-3:] if words.endswith(("A M", "P M")) else ""
    parts = words.removesuffix(half).rstrip().removesuffix(" o'clock").split()
    if parts[-1] == "hundred":
        return int(read_number(" ".join(parts[:-1]))), 0, half
    cuts = [parts.index("oh")] if "oh" in parts else [1] if parts[0] == "zero" else range(len(parts), 0, -1)
    for cut in cuts:
        try:
            hour = read_number(" ".join(parts[:cut]))
            minute = read_number(" ".join(parts[cut:]).removeprefix("oh ")) if parts[cut:] else Fraction(0)
        except AssertionError:
            continue
        return int(hour), int(minute), half
    raise AssertionError(said)


def times(rng):
    minute = rng.choice((0, 5, rng.randrange(1, 60)))
    if rng.random() < 0.5:
        hour = rng.randrange(24)
        return (hour, minute, ""), f"Come at {hour}:{minute:02d}.", read_time
    hour, half = rng.randrange(1, 13), rng.choice(("A M", "P M"))
    letters = half.replace(" ", "")
    shown = f"{hour}{rng.choice(':.')}{minute:02d}" if minute or rng.random() < 0.5 else str(hour)
    written = rng.choice((f"{shown} {letters}", f"{shown}{letters.lower()}", f"{shown} {letters[0].lower()}.m."))
    return (hour, minute, half), f"Come at {written.rstrip('.')}.", read_time


def ranges(rng):
    first, second = sorted((int(whole_number(rng)) % 1000 + 2, int(whole_number(rng)) % 1000 + 3))
    dash = rng.choice(("-", "–", " - ", " – "))
    kind = rng.choice(("pages", "$", "kg", "%", "each $", "each kg", "m$"))
    if kind == "m$":
        second += 1000 * (second <= first)
        written = f"${first} million{dash}${second} million"
    else:
        sign, unit = ("$" if "$" in kind else ""), {"kg": " kg", "each kg": "kg", "%": "%"}.get(kind, "")
        each = kind.startswith("each")
        written = f"{sign}{first}{unit if each else ''}{dash}{sign if each else ''}{second}{unit}"

    def read(said):
        plain = re.sub(r" (dollars|kilograms|percent)\b", "", said.removeprefix("Take "))
        low, high = plain.removesuffix(" of it").split(" to ")
        scale = SCALES["million"] if high.endswith("million") and not low.endswith("million") else 1
        return read_number(low) * scale, read_number(high)

    scale = 10**6 if kind == "m$" else 1
    return (Fraction(first * scale), Fraction(second * scale)), f"Take {written} of it", read


def romans(rng):
    value = rng.randrange(2, 40)
    letters = roman(value)
    kind = rng.choice(("Chapter", "century", "ruler", "possessive"))
    if kind == "Chapter":
        return (
            value,
            f"Chapter {letters} begins",
            lambda said: int(read_number(said.split(" ", 1)[1].rsplit(" ", 1)[0])),
        )
    if kind == "century":
        written = f"the {letters}{ending(value) if value > 1 else ''} century"
        return value, written, lambda said: read_rank(said.removeprefix("the ").removesuffix(" century"))
    value = value if value != 10 else 11  # "Louis X" may be a name
    written = f"Louis {roman(value)}{chr(39) + 's' if kind == 'possessive' else ''} court"
    return (
        value,
        written,
        lambda said: read_rank(said.removeprefix("Louis the ").removesuffix(" court").removesuffix("'s")),
    )


def telephones(rng):
    groups = [f"{rng.randrange(201, 999)}", f"{rng.randrange(201, 999)}", f"{rng.randrange(1001, 9999)}"]
    first, second, third = groups
    written = rng.choice((f"({first}) {second}-{third}", f"{first}-{second}-{third}", f"+1 {first} {second} {third}"))
    expected = re.sub(r"[^\d+]", "", written)
    return expected, f"Call {written} now", lambda said: read_digits(said.removeprefix("Call ").removesuffix(" now"))


def contractions(rng):
    word = rng.choice(["it", "she", "those", "people", "kids", "when", "Mary", "nobody", "everything", "Henry"])
    written = f"{word}{rng.choice(('’', chr(39)))}{rng.choice(('ve', 'll', 'd', 'd' + chr(39) + 've', 're'))}"
    return written.replace("’", "'"), f"Then {written} gone", lambda said: said.split()[1]


KINDS = (numbers, ordinals, money, units, dates, times, ranges, romans, telephones, contractions)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_values_can_be_read_back_from_the_words(kind):
    rng = random.Random(f"values of {kind.__name__}")
    wrong = []
    for _ in range(N_PER_KIND):
        value, written, read = kind(rng)
        said = normalize(written)
        try:
            found = read(said)
        except (AssertionError, KeyError, ValueError, IndexError) as error:
            found = repr(error)
        glued = re.search(r"(?<![a-z])[A-Z]+(?:one|two|three|four|five|six|seven|eight|nine|ten)\b|\d", said)
        if found != value or glued:
            wrong.append((written, said, value, found))
    assert not wrong, f"{len(wrong)} of {N_PER_KIND}, such as {wrong[:5]}"
