"""Numbers with units."""

from __future__ import annotations

import re

from processors.text.number_words import MAGNITUDES, NUMBER, cardinal, decimal, is_number_word, whole
from processors.text.spoken_numbers import mixed_number
from processors.text.word_tables import WordTables, word_set

_UNITS = WordTables(__file__).mapping("units")
_SAME_PLURAL = word_set("hertz kilohertz megahertz gigahertz horsepower lux percent mille")
_DOTTED_UNITS = (
    "ft|in|lbs?|oz|yds?|mi|min|mins|hrs?|secs?|yrs?|wks?|mos?|pts?|gal|tsp|tbsp|sq ft|sq mi|sq m|cu ft|km|kg|cm|mm|pct"
)
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_MEASURE = re.compile(
    rf"(?<![\w.,])(?<![A-Za-z]-)(?<!\d/)(?P<article>\b[Aa]n?\s+)?(?P<minus>-)?(?P<number>\d{{1,3}}/\d{{1,3}}(?!/)|{NUMBER})(?P<more>\s+\d+/\d+)?"
    rf"(?P<magnitude>\s(?:{MAGNITUDES}))?(?P<gap>[\s-]?)(?P<unit>(?:{_DOTTED_UNITS})\.|{_UNIT})(?P<power>\^?[23]\b)?"
    rf"(?![A-Za-z\d^'])(?:/(?P<per>km|kg|cm|min|mL|ml|dL|mol|m|s|h|g|l|L)(?P<per_power>\^?[23])?(?![\w^]))?"
)
_MEASURE_IN = re.compile(rf"(?<![\d.,])({NUMBER})-?in\b(?![.-])")
_SQUARE = re.compile(r"\b(sq|cu)\.\s?(?=(?:ft|mi|km|m|in|yd)\b)")
_PINTS = re.compile(r"(\d )?(?<![\d/])(\d/\d )pts?\b\.?(?!\s?[A-Z])")
_INCHES = re.compile(rf"(?<![\d.,/])(\d+/\d+|{NUMBER})\"(?=[\s,.;:)]|$)")
_TWO_SCALES = re.compile(r"(?<![\w.])(\d{2,3})\s?([CF])\s?/\s?(\d{2,3})\s?([CF])\b")
_BEARING = re.compile(rf"(?<![\d.,])({NUMBER})\s?°\s?([NSEW])\b(?!['’])")
_POWERS = {"2": "square ", "3": "cubic "}
_SECOND_POWERS = {"2": "squared", "3": "cubed"}
_DIRECTIONS = {"N": "north", "S": "south", "E": "east", "W": "west"}
_PER = re.compile(
    r"(?<=[a-z])\s?/\s?(hour|day|week|month|year|person|night|minute|second|hr|mo|yr|wk|sq ft|kg|lb|oz|mile|gallon|"
    r"barrel|bbl|ton|tonne|acre|user|unit|piece|word|page|kWh|GB|liter|litre|dozen|min|sec|h|pp)\b"
    r"(?:\.(?=\s+[^A-Z\"'\s]))?"
)
_PER_ANYTHING = re.compile(
    r"(?:\b(dollars?|cents?|pounds?|pence|euros?|rupees?)|(?<![\w/.-])(\d+))/([a-z]{3,}|ea)\b(?![/.]\w)"
)
_PER_WORDS = {
    "hr": "hour", "h": "hour", "mo": "month", "yr": "year", "wk": "week", "sq ft": "square foot", "kg": "kilogram",
    "lb": "pound", "oz": "ounce", "bbl": "barrel", "kWh": "kilowatt hour", "GB": "gigabyte", "min": "minute",
    "sec": "second", "pp": "person",
}  # fmt: skip
_HEIGHT = re.compile(r"(?<![\w.,])(\d)'\s?(\d{1,2})(?:\"|'')")
_FEET_INCHES = re.compile(r"(\d)\s?ft\.?\s(\d{1,2})\s?in\b(?!\.)")
_FEET = re.compile(r"(?<=\s)(\d+)'(?=\s(?:tall|high|long|wide|deep)\b)")


def expand_measures(text: str) -> str:
    """Spell out numbers with units: "5 km", "1 lb", "70%", "20°C", "a 5-km run", "30 m/s", "5'10\\"", "12 m²"."""
    if "sq." in text or "cu." in text:
        text = _SQUARE.sub(r"\1 ", text)
    if "C/" in text or "F/" in text:
        text = _TWO_SCALES.sub(r"\1°\2/\3°\4", text)
    text = _PINTS.sub(lambda match: match[0].split("pt")[0] + ("pints" if match[1] else "pint"), text)
    if "'" in text:
        text = _HEIGHT.sub(lambda match: f"{cardinal(int(match[1]))} foot {cardinal(int(match[2]))}", text)
        text = _FEET.sub(lambda match: f"{whole(match[1])} feet", text)
    if "°" in text:
        text = _BEARING.sub(lambda match: f"{decimal(match[1])} degrees {_DIRECTIONS[match[2]]}", text)
    text = _FEET_INCHES.sub(r"\1 ft \2 inches", text)
    if '"' in text:
        text = _with_inches(text)
    text = _MEASURE_IN.sub(lambda match: f"{decimal(match[1])} {'inch' if match[1] == '1' else 'inches'}", text)
    text = _MEASURE.sub(_measure, text)
    if "/" in text:
        text = _PER.sub(lambda match: f" per {_PER_WORDS.get(match[1], match[1])}", text)
        text = _PER_ANYTHING.sub(_per_anything, text)
    return text


def _with_inches(text: str) -> str:
    """Spell out the inches of 3" and a 12" record, but not marks that close a quotation."""
    n_inches = 0

    def spoken(match: re.Match[str]) -> str:
        nonlocal n_inches
        before = text[: match.start()]
        if (before.count('"') - n_inches) % 2:
            return match[0]
        n_inches += 1
        is_one = match[1] == "1" or "/" in match[1] or before.endswith((" a ", "A "))
        return f"{match[1]} {'inch' if is_one else 'inches'}"

    return _INCHES.sub(spoken, text)


def _measure(match: re.Match[str]) -> str:
    unit, number, article = match["unit"], match["number"], match["article"] or ""
    stop = ""
    if unit.endswith("."):
        unit = unit[:-1]
        rest = match.string[match.end() :]
        stop = "." if not rest.strip("\"') ") or re.match(r"\s+[A-Z]", rest) else ""
    # "5 in 10 people", "the 5 in the": a bare "in" is nearly always the preposition.
    if unit == "in" and not match["unit"].endswith("."):
        return match[0]
    if unit in ("s", "h", "pt", "ha", "W", "V") and match["gap"] == " " and number == "1":
        return match[0]
    one, many = _UNITS[unit], _several(_UNITS[unit])
    per = _per(match["per"], match["per_power"])
    if match["power"] and " per " in one:  # m/s2
        per = f" {_SECOND_POWERS[match['power'][-1]]}"
    elif match["power"]:
        prefix = _POWERS[match["power"][-1]]
        one, many = prefix + one, prefix + many
    fraction = number if "/" in number else match["more"]
    spoken = mixed_number("" if fraction == number else number, fraction) + (match["magnitude"] or "")
    follows = re.match(r"\s+[a-z]", match.string[match.end() :]) and unit not in "%°C°F"
    singular = spoken == "one" or fraction == number or match["gap"] == "-" or (article and follows)
    return f"{article}{'minus ' if match['minus'] else ''}{spoken} {one if singular else many}{per}{stop}"


def _per_anything(match: re.Match[str]) -> str:
    """Return "5 dollars per serving" for "5 dollars/serving", but "5 dollars/six dollars" as it is."""
    counted, unit = match[1] or match[2], match[3]
    if is_number_word(unit):
        return match[0]
    return f"{counted} each" if unit == "ea" else f"{counted} per {unit}"


def _per(unit: str | None, power: str | None) -> str:
    """Return the unit that another is divided by: " per second squared", " per cubic meter"."""
    if not unit:
        return ""
    if not power:
        return f" per {_UNITS[unit]}"
    if unit in ("s", "min", "h"):
        return f" per {_UNITS[unit]} {_SECOND_POWERS[power[-1]]}"
    return f" per {_POWERS[power[-1]]}{_UNITS[unit]}"


def _several(unit: str) -> str:
    """Return the plural of a unit: "feet", "kilometers per hour", "degrees Celsius"."""
    counted, per, time = unit.partition(" per ")
    if counted.startswith("degree "):
        return counted.replace("degree", "degrees")
    *adjectives, noun = counted.split()
    if noun not in _SAME_PLURAL:
        noun = {"foot": "feet", "inch": "inches"}.get(noun, noun + "s")
    return " ".join([*adjectives, noun]) + per + time
