"""One of several machines at stage 1: `python -m tests.support.share_machine CONFIG NUMBER COUNT [SIGNS]`.

Given a folder for signs, it touches `has looked` there before it looks whether all shares are done, and goes on when
`go on` is there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from processors.features import VOCODER_FEATURES
from processors.preparation import prepare
from tests.support.small_corpus import load
from utils.share import Share


def wait_before_the_last_look(signs: Path) -> None:
    make_plan = prepare.make_plan

    def slow_plan(*arguments, **keywords):
        plan = make_plan(*arguments, **keywords)
        if keywords.get("share") == Share(1, 1):
            (signs / "has looked").touch()
            while not (signs / "go on").exists():
                time.sleep(0.01)
        return plan

    prepare.make_plan = slow_plan


if __name__ == "__main__":
    config, number, count, *signs = sys.argv[1:]
    if signs:
        wait_before_the_last_look(Path(signs[0]))
    done = prepare.prepare_share(load(Path(config)), Share(int(number), int(count)), features=VOCODER_FEATURES)
    print("finished the whole" if done else "left the whole")
