"""Windows of a decoder's frames."""

from models.layers.decoding_windows import WHOLE_FRAMES, decoding_windows


def test_windows_keep_every_frame_once_and_give_context_on_both_sides():
    for n_frames in (WHOLE_FRAMES + 1, 1120, 1121, 3000):
        windows = list(decoding_windows(n_frames))
        assert [window.start for window in windows] == [0, *(window.stop for window in windows[:-1])]
        assert windows[-1].stop == windows[-1].last == n_frames and windows[0].first == 0
        for window in windows:
            assert window.first in (0, window.start - 192) and window.last in (n_frames, window.stop + 192)
            given = range(window.first, window.last)
            assert given[window.kept] == range(window.start, window.stop)


def test_short_utterances_are_one_window_and_long_ones_are_cut_at_the_same_frames():
    for n_frames in (1, WHOLE_FRAMES):
        assert list(decoding_windows(n_frames)) == [(0, 0, n_frames, n_frames)]
    longer, shorter = (list(decoding_windows(n_frames)) for n_frames in (2000, 1500))
    assert [window.start for window in longer][: len(shorter)] == [window.start for window in shorter] == [0, 96, 1120]
