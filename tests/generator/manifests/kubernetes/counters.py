"""Counters and gauges of Triton as Prometheus scrapes them, made up: a series' name and its values, one each 15 s."""

Series = dict[str, str]


def series(metric: str, values: str, pod: str = "a", job: str = "digits", **labels: str) -> Series:
    """Return one series of a workload's pod."""
    own = {"namespace": "triton", "job": job, "pod": pod, **labels}
    return {f"{metric}{{{','.join(f'{key}={value!r}' for key, value in own.items())}}}".replace("'", '"'): values}


def counters(
    model: str, *, queue: str = "0x60", infer: str = "0x60", ends: str = "0x60", pod: str = "a", job: str = "digits"
) -> Series:
    """Return what a model of a pod counts: µs in the queue and in the model, and requests that ended."""
    values = {"queue_duration_us": queue, "compute_infer_duration_us": infer, "request_success": ends}
    return {
        name: text
        for metric, given in values.items()
        for name, text in series(f"nv_inference_{metric}", given, pod, job, model=model, version="1").items()
    }


def pending(values: str, pod: str = "a", model: str = "mlp") -> Series:
    """Return a model's gauge of requests that wait."""
    return series("nv_inference_pending_request_count", values, pod, model=model, version="1")


def engine(values: str, kind: str = "waiting", pod: str = "a") -> Series:
    """Return one of TensorRT-LLM's gauges of requests."""
    return series(
        "nv_trt_llm_request_metrics", values, pod, "chat", model="tensorrt_llm", request_type=kind, version="1"
    )
