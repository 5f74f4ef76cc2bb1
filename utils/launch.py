"""Launcher of several training processes: `python -m utils.launch [flags of accelerate launch] -m bins.train ...`.

`accelerate launch` without the tracebacks of torch.distributed when processes fail, which print their own errors.
"""

from __future__ import annotations

import logging
import os
import sys

from utils.errors import RecitalError
from utils.gpus import require_gpus


def main() -> int:
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = launch_command_parser().parse_args()
    logging.disable(logging.ERROR)
    # With --max_restarts: in the store that restarts share, processes find the addresses of those that have ended.
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    try:
        if gpus := os.environ.get("CUDA_VISIBLE_DEVICES"):
            require_gpus(gpus)
        launch_command(arguments)
    except RecitalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except SignalException as signalled:
        return 128 + int(signalled.sigval)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code
    return 0


if __name__ == "__main__":
    sys.exit(main())
