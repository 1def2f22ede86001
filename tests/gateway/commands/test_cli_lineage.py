"""What rests on a release, and its revocation, by the command: in two languages, and as JSON."""

from gateway.commands.session import EXIT_REFUSED
from gateway.flow.register import register_artefact
from gateway.flow.release import load_released
from gateway.flow.serve import read_item
from pipeline.artefacts import ArtefactKind, DerivedArtefact
from simulators import PURPOSE, released


def told(cli, person, *arguments):
    answer = cli.run(*arguments, *cli.proof(person))
    assert answer.code == 0, answer
    return answer.out


def registered(gate, engineer, **what):
    made = DerivedArtefact(sha256="ab" * 32, code="git:1234567", **what)
    text = made.statement(principal="engineer", purpose=PURPOSE, key=engineer.key, at=gate.clock())
    return register_artefact(gate, text, actor=engineer.actor, purpose=PURPOSE)["artefact"]


def test_lineage_and_revocation_tell_what_rests_on_a_release(housed):
    house = housed.house
    with house.opened() as gate:
        release = released(gate, house, {"notes.txt": "城市道路。\n".encode()})
        engineer = house.people["engineer"]
        name = next(iter(_manifest(gate, release)))
        read = read_item(gate, release, name, actor=engineer.actor, purpose=PURPOSE, wanted=None)
        content = b"".join(read.chunks)
        index = registered(gate, engineer, kind=ArtefactKind.INDEX, name="索引一", releases=(release,))
        model = registered(gate, engineer, kind=ArtefactKind.MODEL, name="model one", artefacts=(index,))
    lines = told(housed, "auditor", "lineage", release)
    assert "有效 / live; 2 项衍生 / artefacts rest on it" in lines
    assert "索引 / index  索引一" in lines
    found = housed.did("auditor", "lineage", release)
    assert [each["artefact"] for each in found["artefacts"]] == [index, model]
    assert housed.act("engineer", "lineage", release).code == EXIT_REFUSED
    assert housed.act("engineer", "release", "revoke", release).code == EXIT_REFUSED
    lines = told(housed, "officer", "release", "revoke", release)
    for part in (
        "已撤销 / revoked; 1 项授权终止 / grants ended",
        f"engineer (perception-team): 1 个文件 / items, {len(content)} 字节 / bytes",
        "2 项衍生标记为已撤销 / artefacts marked revoked",
        "模型 / model  model one  engineer  已撤销 / revoked",
        "无法由网关收回",
        "cannot be taken back by this gate",
    ):
        assert part in lines
    again = housed.did("officer", "release", "revoke", release)
    assert (again["revoked"], again["grants_ended"]) == (True, 0)
    assert [each["revoked"] for each in again["artefacts"]] == [True, True]
    assert "已撤销 / revoked" in told(housed, "auditor", "lineage", release).splitlines()[0]


def _manifest(gate, release):
    with gate.database.read() as session:
        return [item["name"] for item in load_released(gate, session, release).manifest["items"]]
