"""Of several certificates the one that policy allows is the one that is asked about (rule 7)."""

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gateway.flow.deciding import instant, policy_facts, profile_facts
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.licensed import certificate_facts, delegation_facts, surveyed_facts
from gateway.people.certificates import Certificate, Interruption, NewCertificate, register_certificate
from gateway.people.delegations import Delegation
from gateway.people.suitability import Surveyed, best_suited, certificate_for, surveying_terms
from policies.question import Point, Question
from simulators import (
    CERTIFICATE,
    REGION,
    SMALL_DRIVE,
    START,
    UNIT,
    VEHICLE,
    House,
    candidate,
    cleanse,
    deliver,
    publish,
)

YEAR = timedelta(days=365)
DRIVE = Surveyed(
    unit=UNIT, vehicle=VEHICLE, region=REGION, started_at=START, ended_at=START + timedelta(hours=1)
)
PLAIN = NewCertificate(
    number="plain",
    kinds=["navigation_map"],
    grade="A",
    holder=UNIT,
    regions=["11"],
    valid_from=START - YEAR,
    valid_to=START + 50 * YEAR,
)
# Each number sorts before that of the certificate that fits, and each fits but for one thing.
UNFIT: dict[str, dict[str, object]] = {
    "grade B in a province": {"grade": "B"},
    "another kind": {"kinds": ["engineering_survey"]},
    "begun after the drive": {"valid_from": START + timedelta(minutes=30)},
}


@pytest.fixture
def furnished(sqlite_house: House) -> Iterator[Gate]:
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate)
        yield gate


def register(gate: Gate, house: House, **changes: object) -> None:
    officer = house.people["officer"]
    made = dataclasses.replace(PLAIN, **changes)  # type: ignore[arg-type]
    register_certificate(gate, made, b"a scan", actor=officer.actor, key=officer.key)


def chosen(gate: Gate, *surveyed: Surveyed) -> str:
    with gate.database.read() as session:
        certificate = certificate_for(gate, session, surveyed, gate.clock())
    assert certificate is not None
    return certificate.number


@pytest.mark.parametrize("name", UNFIT)
def test_a_certificate_that_does_not_suffice_stands_before_none_that_does(
    name: str, furnished: Gate, sqlite_house: House
):
    register(furnished, sqlite_house, number="a-first", **UNFIT[name])
    assert chosen(furnished, DRIVE) == CERTIFICATE
    assert "hold" not in recording_summary(furnished, deliver(furnished, SMALL_DRIVE))


def test_a_release_goes_out_beside_a_certificate_of_lower_grade(furnished: Gate, sqlite_house: House):
    """Judged, approved and published under grade A, though a 乙级 of the same unit and region comes first."""
    register(furnished, sqlite_house, number="a-乙测资字", grade="B")
    publish(furnished, sqlite_house, candidate(furnished, sqlite_house, cleanse(furnished, SMALL_DRIVE)))


def test_grade_b_within_its_limits_is_as_good_and_the_choice_is_stable(furnished: Gate, sqlite_house: House):
    register(furnished, sqlite_house, number="b-district", grade="B", regions=[REGION])
    register(furnished, sqlite_house, number="a-district", grade="B", regions=[REGION])
    assert {chosen(furnished, DRIVE) for _ in range(5)} == {"a-district"}


def test_recordings_of_one_release_are_judged_by_what_covers_all_of_them(
    furnished: Gate, sqlite_house: House
):
    register(furnished, sqlite_house, number="a-district", regions=[REGION])
    beside = dataclasses.replace(DRIVE, region="110105")
    for drives in ([DRIVE, beside], [beside, DRIVE]):
        assert chosen(furnished, *drives) == CERTIFICATE


MOMENTS = st.sampled_from(
    [START - YEAR, START + timedelta(minutes=30), START + timedelta(hours=2), START + timedelta(days=2)]
)
LATE = st.sampled_from([START + timedelta(minutes=30), START + timedelta(hours=2), START + timedelta(days=2)])
KINDS = st.sampled_from([("navigation_map",), ("engineering_survey",)])
REGIONS = st.sampled_from([(REGION,), ("44",)])


FIELDS = st.sets(
    st.sampled_from(["begins", "ends", "gap", "kinds", "grade", "holder", "regions"]), max_size=2
)


@st.composite
def registered(draw: st.DrawFn) -> tuple[Certificate, ...]:
    """Certificates that fit the drive but for up to two things, which may be anything."""

    def one(number: int) -> Certificate:
        free = draw(FIELDS)
        begins = draw(MOMENTS) if "begins" in free else START - YEAR
        gap = Interruption(kind="suspended", start=draw(MOMENTS), end=draw(LATE), reason="an audit")
        return Certificate(
            number=f"c-{number}",
            kinds=draw(KINDS) if "kinds" in free else ("navigation_map",),
            grade=draw(st.sampled_from(["B", None])) if "grade" in free else "A",
            holder="oem" if "holder" in free else UNIT,
            regions=draw(REGIONS) if "regions" in free else ("11",),
            valid_from=begins,
            valid_to=draw(LATE) if "ends" in free else START + 50 * YEAR,
            since=begins,
            renews=None,
            unverified=False,
            interruptions=(gap,) if "gap" in free else (),
        )

    return tuple(one(number) for number in range(draw(st.integers(1, 3))))


@st.composite
def delegated(draw: st.DrawFn) -> tuple[Delegation, ...]:
    return tuple(
        Delegation(
            id=f"d-{number}",
            delegator=UNIT,
            certificate=f"c-{draw(st.integers(0, 2))}",
            sources=draw(st.sampled_from([("*",), (VEHICLE,), ("another",)])),
            kinds=draw(KINDS),
            regions=draw(REGIONS),
            valid_from=draw(st.sampled_from([START - YEAR, START + timedelta(minutes=30)])),
            valid_to=draw(st.sampled_from([START + 50 * YEAR, START + timedelta(hours=2)])),
        )
        for number in range(draw(st.integers(0, 4)))
    )


def allowed(
    gate: Gate, certificate: Certificate, delegations: tuple[Delegation, ...], *, now: datetime
) -> bool:
    question = {
        "point": Point.ADVANCE.value,
        "subject": {"id": "gate"},
        "action": {"name": "advance"},
        "resource": {"recording": "0b6f6d0e-93a5-4f0b-8d57-5f5ad7a6f2c1", **surveyed_facts(DRIVE)},
        "context": {
            "time": instant(now),
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
            "certificate": certificate_facts(certificate),
            "delegations": [delegation_facts(each) for each in delegations],
        },
    }
    # The moment lies before the bundle's own time: of the other rule nothing is asked here.
    decision = gate.engine.decide(Question.of(question))
    return "surveying_certificate" not in {violation.rule for violation in decision.violations}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    house = House(home=Path(tmp_path_factory.mktemp("house")) / "home")
    with house.opened() as gate:
        yield gate


@settings(max_examples=400, deadline=None)
@given(certificates=registered(), delegations=delegated())
def test_policy_allows_the_choice_whenever_it_allows_any(
    asked: Gate, certificates: tuple[Certificate, ...], delegations: tuple[Delegation, ...]
):
    """The choice repeats the rule's conditions outside Rego: held against the engine that judges."""
    now = START + timedelta(days=1)
    terms = surveying_terms(asked, now)
    best = best_suited(certificates, delegations, [DRIVE], terms=terms, now=now)
    assert best is not None
    some = any(allowed(asked, each, delegations, now=now) for each in certificates)
    event(f"policy allows {'some' if some else 'none'}")
    assert allowed(asked, best, delegations, now=now) == some


def test_before_all_law_nothing_suffices_and_something_is_asked_about(asked: Gate):
    long_ago = START - 30 * YEAR
    terms = surveying_terms(asked, long_ago)
    plain = Certificate(
        number="old",
        kinds=("navigation_map",),
        grade="A",
        holder=UNIT,
        regions=("11",),
        valid_from=long_ago,
        valid_to=START,
        since=long_ago,
        renews=None,
        unverified=False,
    )
    assert not terms.covers_vehicle_data(plain.kinds)
    assert not terms.admits_grade_of(plain)
    assert best_suited([plain], [], [DRIVE], terms=terms, now=long_ago) == plain
    assert best_suited([], [], [DRIVE], terms=terms, now=long_ago) is None
