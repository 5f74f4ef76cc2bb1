"""One long recording, cut to utterances whose words two readings agree on.

    levels > pauses > windows > first reading > words of the text with times > cuts > second reading > kept or rejected

The second reading recognises each utterance in another company than the first: alone, or between utterances that are
not its neighbours. It shows words that the cut has split or moved to the wrong side of a pause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from processors.audio.audio_file import AudioError, LongRecording
from processors.audio.audio_stream import encode
from processors.segmenting.agreement import share_of_errors
from processors.segmenting.cuts import Cut, choose_cuts, gaps_at, spoken_times
from processors.segmenting.journal import Journal, Span
from processors.segmenting.pauses import Scanned, scan, windows
from processors.segmenting.readers import WHISPER_WINDOW_S, Reader, ReaderSettings
from processors.segmenting.segments import Reason, RecordingResult, Segment, SegmentingSettings
from processors.segmenting.text_words import ReadWord, TextWords, joined, keys_of
from processors.segmenting.word_alignment import align_words, best_path
from processors.utterance import Utterance
from utils.console import Progress
from utils.files import write_atomically
from utils.fingerprint import stamp_of_file

_SILENCE_BETWEEN_S = 1.0
_WORDS_AROUND = 4
"""So many words may be on the wrong side of a cut after the first reading."""
_PACE_RANGE, _LEAST_PACE = 2.5, 1.5
"""Factor around the median of letters per second, and their least number."""


def segment_recording(
    recording: Utterance, source: str, text: str, settings: SegmentingSettings, folder: Path, *, shows_progress: bool
) -> RecordingResult:
    """Cut a recording to utterances, and write their sound; what a former run has done is not done again.

    Args:
        recording: its id and path.
        source: its path as results name it.
        text: what is spoken, and possibly more; empty if unknown.
        settings: of segmenting.
        folder: of all results.
        shows_progress: whether to print progress.

    Raises:
        RecitalError: the recogniser fails.
    """
    work = folder / "work"
    stamp = stamp_of_file(recording.audio_path).hex()
    identity = f"{stamp} {settings.identity(text)}"
    result_path = work / f"{recording.id}.json"
    former = RecordingResult.load(result_path)
    if former is not None and former.identity == identity:
        return former
    result = RecordingResult(recording.id, source, 0.0, (), identity=identity)
    journal = Journal(work / f"{recording.id}.readings.jsonl", stamp)
    try:
        scanned = scan(recording.audio_path)
        result = replace(result, duration_s=round(scanned.samples / scanned.sample_rate, 3))
        segmenter = _Segmenter(recording, scanned, text, settings, journal, shows_progress)
        result = replace(result, segments=tuple(segmenter.segments()) if scanned.pauses else ())
        _write_sound(recording.audio_path, scanned, result.segments, settings, folder)
    except AudioError as error:
        result = replace(result, segments=(), problem=str(error).removeprefix(f"{recording.audio_path}: "))
    finally:
        journal.close()
    result.save(result_path)
    return result


class _Segmenter:
    def __init__(
        self,
        recording: Utterance,
        scanned: Scanned,
        text: str,
        settings: SegmentingSettings,
        journal: Journal,
        shows_progress: bool,
    ) -> None:
        self._recording, self._scanned, self._text, self._settings = recording, scanned, text, settings
        self._journal, self._shows_progress = journal, shows_progress

    def segments(self) -> Iterator[Segment]:
        scanned, settings = self._scanned, self._settings
        spans = [self._samples(*window) for window in windows(scanned.pauses, WHISPER_WINDOW_S)]
        first = self._read("first reading", settings.reader, [[span] for span in spans])
        words = [word for span in spans for word in first[span]]
        keys, owners = keys_of(words, settings.language)
        text = TextWords.of(self._text or joined(words), settings.language)
        times = spoken_times(words, scanned.pauses)[owners] if owners else np.zeros(0)
        gaps = gaps_at(scanned.pauses, times, align_words(keys, text.keys), text)
        cuts = choose_cuts(scanned.pauses, gaps, settings.lengths, is_transcript=not self._text)
        second = self._read_again(cuts)
        cuts = _moved(cuts, [second.get(self._span(cut), []) for cut in cuts], text, settings.language)
        drafts = [self._draft(number, cut, text, second) for number, cut in enumerate(cuts, start=1)]
        # Those that differ in the company of others are read once more, alone.
        doubtful = [cut for cut, draft in zip(cuts, drafts, strict=True) if draft.reason == "readings differ"]
        alone = self._read("third reading", settings.check, [[self._span(cut)] for cut in doubtful])
        third = [self._draft(number, cut, text, alone) for number, cut in enumerate(cuts, start=1)]
        best = [
            other if other.error is not None and other.error < (draft.error or 0.0) else draft
            for draft, other in zip(drafts, third, strict=True)
        ]
        yield from self._with_common_pace(best, cuts)

    def _read_again(self, cuts: Sequence[Cut]) -> dict[Span, list[ReadWord]]:
        spans = [self._span(cut) for cut in cuts if cut.first_word < cut.end_word and not self._length_reason(cut)]
        if not spans or not self._settings.check.takes_several:
            return self._read("second reading", self._settings.check, [[span] for span in spans])
        # Neighbours are in different groups.
        groups = [group for parity in (0, 1) for group in self._groups(spans[parity::2])]
        return self._read("second reading", self._settings.check, groups)

    def _groups(self, spans: Sequence[Span]) -> Iterator[list[Span]]:
        group: list[Span] = []
        seconds = 0.0
        for span in spans:
            length = (span[1] - span[0]) / self._scanned.sample_rate + _SILENCE_BETWEEN_S
            if group and seconds + length > WHISPER_WINDOW_S:
                yield group
                group, seconds = [], 0.0
            group.append(span)
            seconds += length
        if group:
            yield group

    def _read(
        self, name: str, settings: ReaderSettings, groups: Sequence[Sequence[Span]]
    ) -> dict[Span, list[ReadWord]]:
        """Return the words of each span; those of a group are recognised at once."""
        identity = settings.identity(self._text)
        found: dict[Span, list[ReadWord]] = {}
        missing = []
        for group in groups:
            if (known := self._journal.find(identity, group)) is None:
                missing.append(group)
            else:
                found.update(zip(group, known, strict=True))
        progress = Progress(len(groups), f"{self._recording.id}: {name}", "windows") if self._shows_progress else None
        if progress:
            progress.skip(len(groups) - len(missing))
        for group, pieces in zip(missing, self._pieces(missing), strict=True):
            words = self._words(settings.open(self._text), group, pieces)
            self._journal.add(identity, group, words)
            found.update(zip(group, words, strict=True))
            if progress:
                progress.advance()
        if progress:
            progress.close()
        return found

    def _pieces(self, groups: Sequence[Sequence[Span]]) -> Iterator[list[np.ndarray]]:
        """Yield the waveforms of each group's spans; the file is read once for each turn back to its start."""
        if not groups:
            return
        reached, source = 0, LongRecording(self._recording.audio_path)
        for group in groups:
            pieces = []
            for start, stop in group:
                if start < reached:
                    source.close()
                    source = LongRecording(self._recording.audio_path)
                pieces.append(source.read(start, stop) * np.float32(self._scanned.scale))
                reached = start
            yield pieces
        source.close()

    def _words(self, reader: Reader, group: Sequence[Span], pieces: Sequence[np.ndarray]) -> list[list[ReadWord]]:
        rate = self._scanned.sample_rate
        silence = np.zeros(round(_SILENCE_BETWEEN_S * rate), np.float32)
        together = np.concatenate([part for piece in pieces for part in (piece, silence)][:-1])
        read = reader.words(together, rate)
        starts = np.cumsum([0, *(len(piece) + len(silence) for piece in pieces[:-1])]) / rate
        # A word belongs to the piece whose middle of silence before it has passed when the word is half spoken.
        middles = [(word.start_s + word.end_s) / 2 for word in read]
        places = np.searchsorted(starts[1:] - _SILENCE_BETWEEN_S / 2, middles, side="right").tolist()
        words: list[list[ReadWord]] = [[] for _ in group]
        for word, place in zip(read, places, strict=True):
            shift = group[place][0] / rate - float(starts[place])
            words[place].append(ReadWord(word.text, round(word.start_s + shift, 3), round(word.end_s + shift, 3)))
        return words

    def _samples(self, start_s: float, end_s: float) -> Span:
        rate = self._scanned.sample_rate
        return round(start_s * rate), min(round(end_s * rate), self._scanned.samples)

    def _span(self, cut: Cut) -> Span:
        return self._samples(*cut.span(self._settings.lengths.edge_s))

    def _length_reason(self, cut: Cut) -> Reason:
        lengths = self._settings.lengths
        start, end = cut.span(lengths.edge_s)
        if end - start > lengths.longest_s:
            return "too long"
        return "too short" if cut.after.start_s - cut.before.end_s < lengths.shortest_s else ""

    def _draft(self, number: int, cut: Cut, text: TextWords, readings: dict[Span, list[ReadWord]]) -> Segment:
        rate = self._scanned.sample_rate
        start, stop = span = self._span(cut)
        written = text.written(cut.first_word, cut.end_word)
        segment = Segment(f"{self._recording.id}_{number:05d}", round(start / rate, 6), round(stop / rate, 6), written)
        if reason := self._length_reason(cut):
            return replace(segment, reason=reason)
        if not written:
            return replace(segment, reason="not in the text" if self._text else "no words")
        if (words := readings.get(span)) is None:
            return replace(segment, reason="readings differ")
        transcript = joined(words)
        error = round(share_of_errors(written, transcript, self._settings.language), 4)
        differs = error > self._settings.most_errors
        return replace(segment, transcript=transcript, error=error, reason="readings differ" if differs else "")

    def _with_common_pace(self, segments: Sequence[Segment], cuts: Sequence[Cut]) -> Iterator[Segment]:
        paces = [
            sum(map(str.isalnum, each.text)) / max(cut.after.start_s - cut.before.end_s, 1e-3)
            for each, cut in zip(segments, cuts, strict=True)
        ]
        kept = [pace for pace, each in zip(paces, segments, strict=True) if not each.reason]
        median = float(np.median(kept)) if kept else 0.0
        for pace, each in zip(paces, segments, strict=True):
            is_common = max(median / _PACE_RANGE, _LEAST_PACE) <= pace <= median * _PACE_RANGE
            yield each if each.reason or is_common else replace(each, reason="pace")


def _moved(cuts: Sequence[Cut], readings: Sequence[Sequence[ReadWord]], text: TextWords, language: str) -> list[Cut]:
    """Return the cuts, their words moved over a pause where both neighbours' second readings agree on it."""
    spans = [_span_in_text(cut, words, text, language) for cut, words in zip(cuts, readings, strict=True)]
    moved = list(cuts)
    for index, (left, right) in enumerate(pairwise(spans)):
        is_joint = cuts[index].end_word == cuts[index + 1].first_word
        if left and right and is_joint and left[1] == right[0]:
            first, end = moved[index].first_word, moved[index + 1].end_word
            if first < left[1] < end:
                moved[index] = moved[index]._replace(end_word=left[1])
                moved[index + 1] = moved[index + 1]._replace(first_word=left[1])
    return moved


def _span_in_text(cut: Cut, words: Sequence[ReadWord], text: TextWords, language: str) -> tuple[int, int] | None:
    """Return the words of the text that a second reading fits best; None if it fits none."""
    first, end = max(cut.first_word - _WORDS_AROUND, 0), min(cut.end_word + _WORDS_AROUND, len(text.keys))
    around, read = text.keys[first:end], keys_of(words, language)[0]
    numbers = {key: number for number, key in enumerate(dict.fromkeys([*around, *read]))}
    left, right = (np.array([numbers[key] for key in keys], dtype=np.int64) for keys in (read, around))
    pairs = [(here, there) for here, there in best_path(left, right, free=(True, True))] if len(left) else []
    if not pairs or all(left[here] != right[there] for here, there in pairs):
        return None
    return first + pairs[0][1], first + pairs[-1][1] + 1


def _write_sound(
    path: Path, scanned: Scanned, segments: Iterable[Segment], settings: SegmentingSettings, folder: Path
) -> None:
    with LongRecording(path) as source:
        for segment in segments:
            if name := segment.audio_name(settings):
                start, stop = (round(time_s * scanned.sample_rate) for time_s in (segment.start_s, segment.end_s))
                waveform = np.clip(source.read(start, stop) * np.float32(scanned.scale), -1.0, 1.0)
                write_atomically(folder / name, encode(waveform, scanned.sample_rate, settings.audio_format))
