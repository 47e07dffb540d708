"""Training in several processes, started by `torchrun`; without it there is one process and nothing is divided.

ranks      this process among the others; errors and decisions that all of them share
shard      weights, gradients, averages and optimizer states divided over the processes (FSDP2)
matrices   whole matrices out of rows that are divided: each process computes its share of them
files      what is divided -> safetensors files of one folder, which any number of processes reads again
"""

from chronotope.parallel.files import StorageProblem, read_shards, stored_shapes, write_shards, write_together
from chronotope.parallel.matrices import apply_to_whole
from chronotope.parallel.ranks import (
    Ranks,
    end_process,
    from_all,
    from_first,
    in_all,
    join_ranks,
    leave_ranks,
    sum_over_ranks,
    wait_for_all,
)
from chronotope.parallel.shard import gathered, local, parallelise, whole

__all__ = [
    "Ranks",
    "StorageProblem",
    "apply_to_whole",
    "end_process",
    "from_all",
    "from_first",
    "gathered",
    "in_all",
    "join_ranks",
    "leave_ranks",
    "local",
    "parallelise",
    "read_shards",
    "stored_shapes",
    "sum_over_ranks",
    "wait_for_all",
    "whole",
    "write_shards",
    "write_together",
]
