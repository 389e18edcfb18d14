"""Truth discovery: how far each source can be trusted is learned from agreement over all keys, and decides conflicts.

A majority is often wrong: sources copy from each other, many are careless in the same way, and most keys have few
claims. Texts, flags, dates as texts: AccuSim (texts.py). Numbers, dates and times: weighted medians (numbers.py).
What counts as the same value, and what supports another: claims.py.

In YAML, as the rule of a merge, for single fields or as the default:

    fields:
      - {fields: [title, authors], rule: truth_discovery}
      - {fields: [price], rule: truth_discovery, tolerance: 0.01}
    truth: {per_field: true, support: 0.5, max_claims: 2000000}

For the merge kernel there are two steps. Before the pass, `learn` reads (a sample of) all keys once:

    trust = learn({"title": claims, "price": claims}, sources, spec)      # claims: columns key, source, value
    trust = learn_frames({"crm": pl.scan_parquet(…), "web": …}, ["id"], ["title", "price"], spec)

Then `trust.winners(field, values, source, group)` decides each batch: arrays in, per group the winner's row in them
and its confidence. So truth_discovery takes a value from a record, as last_write_wins does of a single field: the row
tells value, source and lineage, and the other values of the group are the losers that the conflict log compares.
Groups are decided one by one, so batches may be cut anywhere between them. `choose` does the same for data frames,
losers included; `trust.table()` is the report.

Deterministic: the same claims in any order give the same trust to 9 decimals and the same winners; of claims that
are equally good the first given wins (give the preferred first).
"""

from base_ops.worker.merge.truth.learning import learn, learn_frames
from base_ops.worker.merge.truth.trust import SourceTrust, Winners, choose

__all__ = ["SourceTrust", "Winners", "choose", "learn", "learn_frames"]
