"""The doctor's look at Kafka and Ray, if their addresses are set."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from pipeline.catalog.topics import TOPICS
from pipeline.errors import BrokerError, ClusterError
from pipeline.runtime.connections import connection_of
from pipeline.runtime.doctor_checks import Finding, Status
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import CONFIGS_ADVICE, DRIFT, MISSING, lines_of
from pipeline.runtime.words import counted
from pipeline.streams.client import is_denied
from pipeline.streams.deletion import BrokerAdvice, broker_advice
from pipeline.streams.drift import TopicState
from pipeline.streams.probe import probe
from pipeline.streams.topics import TopicAdmin

Check = tuple[str, Callable[[], list[Finding]]]


def checks_of(settings: Settings) -> list[Check]:
    """The checks that the addresses in `settings` allow."""
    ray: Check = ("Ray", lambda: [_ray(settings)])
    if settings.kafka.brokers is None:
        local = Finding("Kafka", Status.OK, "no address is set; a local one is started when needed")
        return [ray, ("Kafka", lambda: [local])]
    return [ray, ("Kafka", lambda: _kafka(settings))]


def _ray(settings: Settings) -> Finding:
    installed = version("ray")
    address = settings.run.ray
    if address is None:
        return Finding("Ray", Status.OK, f"{installed}; a local one is started when needed")
    import ray  # noqa: PLC0415 - a second that only an address is worth

    from pipeline.runtime.supervision import connected  # noqa: PLC0415 - imports Ray

    try:
        with connected(address, "lamppost-doctor", verbose=False):
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's gap
    except ClusterError as error:
        return Finding("Ray", Status.FAIL, str(error), f"start Ray {installed} there, or correct the address")
    cores, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    found = f"{installed} at {address}: {cores:g} cores, {gpus:g} GPUs"
    if cores < settings.most_workers:
        return Finding(
            "Ray", Status.WARN, found, f"{settings.most_workers_field}={settings.most_workers} share them; add nodes"
        )
    return Finding("Ray", Status.OK, found)


def _kafka(settings: Settings) -> list[Finding]:
    """What is found of a Kafka that answers; of one that does not, only that."""
    connection = connection_of(settings, "lamppost-doctor")
    try:
        info = probe(connection)
        info.require(settings.kafka.group_protocol)
    except BrokerError as error:
        return [Finding("Kafka", Status.FAIL, str(error))]  # which says what to do
    release = f"release {info.release} or later" if info.release else "of an unknown release"
    found = Finding("Kafka", Status.OK, f"{release} at {info.brokers}, {counted(info.nodes, 'broker')}")
    admin = TopicAdmin(connection)
    return [found, *judge_broker_settings(admin.broker_settings()), *judge_topics(admin.describe(TOPICS))]


def judge_broker_settings(brokers: Mapping[int, Mapping[str, str] | BrokerError]) -> list[Finding]:
    """A warning for each setting on which a promise of Lamppost depends, and for each broker whose are not known.

    `brokers` has each one's settings by its id, or why they are not known.
    """
    having: dict[BrokerAdvice, list[int]] = {}
    unknown = []
    for number, settings in brokers.items():
        if isinstance(settings, BrokerError):
            advised = CONFIGS_ADVICE if is_denied(settings) else ""
            unknown.append(Finding("broker settings", Status.WARN, f"broker {number} unknown: {settings}", advised))
            continue
        for advice in broker_advice(settings):
            having.setdefault(advice, []).append(number)
    warnings = [
        Finding(
            "broker settings",
            Status.WARN,
            f"{advice.setting}={advice.found}{_on(numbers, len(brokers))}: {advice.why}",
            f"set it to {advice.wanted}",
        )
        for advice, numbers in having.items()
    ]
    return warnings + unknown or [
        Finding("broker settings", Status.OK, "deletion and take-over are as quick as promised")
    ]


def _on(numbers: Sequence[int], brokers: int) -> str:
    """Which brokers, if it is not all."""
    return "" if len(numbers) == brokers else f" on broker {', '.join(map(str, numbers))}"


def judge_topics(states: Sequence[TopicState]) -> list[Finding]:
    """A warning for each topic that is missing, and for each way in which one differs."""
    advice = {MISSING: "lamppost topics create", DRIFT: "lamppost topics check says what it means; alter the setting"}
    warnings = [
        Finding("topics", Status.WARN, f"{line.topic}: {line.found}", advice[line.status])
        for state in states
        # the first line of a topic that is there says how large it is
        for line in lines_of(state)[1 if state.exists else 0 :]
    ]
    return warnings or [Finding("topics", Status.OK, f"{len(states)} as designed")]
