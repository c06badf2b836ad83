"""What is behind a queue or a batch of one, told from a configuration and from counters."""

from __future__ import annotations

from tritonsmith.backends.running.observe import Activity

WAITS = 0.5  # of the compute time: a wait that long is worth a word
BUSY = 0.85  # of the time: an instance that is busy so long is what requests wait for


def why_single(activity: Activity) -> tuple[str, str]:
    """Return why requests are computed one by one, and what to do about it."""
    config, limit = activity.config, activity.config.max_batch_size
    scheduler = config.WhichOneof("scheduling_choice")
    if limit <= 1:
        return f"max_batch_size is {limit}", "raise it, and add dynamic_batching, where the model takes a batch axis"
    if scheduler is None:
        return "it has no batcher", "add dynamic_batching {}"
    if scheduler == "sequence_batching":
        return (
            "the sequence batcher puts at most one request of a sequence into a batch",
            "more sequences at a time fill it; for requests that do not depend on one another use dynamic_batching",
        )
    if activity.rows_per_request > limit / 2:
        return (
            f"requests bring {activity.rows_per_request:.1f} rows each, so that two do not fit max_batch_size {limit}",
            "raise max_batch_size, or send smaller requests",
        )
    if activity.window_s and activity.in_flight < activity.instances + 1:
        cause = (
            f"{activity.in_flight:.1f} requests were in it on average, and an idle one of its {activity.instances} "
            f"instance{'s'[: activity.instances != 1]} takes a request at once"
        )
        return cause, "nothing to do at this load; a batch forms while all instances are busy"
    if activity.queue_us > WAITS * activity.compute_us:
        return _why_not_together(activity)
    return "requests do not wait for one another", "a max_queue_delay_microseconds would collect them, and add to each"


def _why_not_together(activity: Activity) -> tuple[str, str]:
    """Return why requests that wait are still not put into one batch."""
    open_inputs = [given.name for given in activity.config.input if -1 in given.dims and not given.allow_ragged_batch]
    if open_inputs:
        return (
            f"they wait, but requests whose '{open_inputs[0]}' differ in shape cannot share a batch",
            "pad them to one shape, or allow_ragged_batch where the backend supports it",
        )
    optional = [given.name for given in activity.config.input if given.optional]
    if optional:
        return (
            f"they wait, but one with and one without the optional '{optional[0]}' cannot share a batch",
            "send the same inputs with every request",
        )
    sizes = list(activity.config.dynamic_batching.preferred_batch_size)
    return (
        f"they wait, though nothing of the configuration keeps them apart (preferred_batch_size {sizes})",
        "leave preferred_batch_size out; look whether requests carry different priorities or parameters",
    )


def why_waiting(activity: Activity) -> tuple[str, str]:
    """Return what requests wait for, and what to do about it."""
    delay_us = activity.config.dynamic_batching.max_queue_delay_microseconds
    share = activity.busy_instances / max(1, activity.instances)
    if activity.window_s and share >= BUSY:
        plural = "s" if activity.instances > 1 else ""
        return (
            f"its {activity.instances} instance{plural} {'are' if plural else 'is'} busy {share:.0%} of the time",
            "more instances, or larger batches" if activity.rows_per_execution < 2 else "more instances",
        )
    if delay_us and 0.5 * delay_us <= activity.queue_us <= 1.5 * delay_us:
        return (
            f"that is max_queue_delay_microseconds ({delay_us}), not a lack of instances",
            "shorten the delay, or leave it out",
        )
    if activity.config.HasField("sequence_batching"):
        return "sequences wait for a free slot, or for their own earlier requests", "more instances or a larger batch"
    if not activity.window_s:
        return "since it was loaded; nothing came while it was watched", "watch it under load: --window"
    return (
        f"its {activity.instances} instances are busy {share:.0%} of the time, so requests come in bursts",
        "spread the requests, or add instances for the peaks",
    )
