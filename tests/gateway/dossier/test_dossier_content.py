"""What a dossier says, in each form and language, and what it must never say (laws 3, 7, 10)."""

import io
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
import yaml
from pypdf import PdfReader

from conformance.canaries import LONG, needles, search
from gateway.dossier.contents import Edition
from gateway.dossier.document import Language
from gateway.dossier.words import Words
from gateway.flow.recording import ReleaseMode
from simulators import CERTIFICATE, PURPOSE, RECIPIENT, UNIT, VEHICLE


@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_no_form_shows_what_the_release_hides(dossiers, mode):
    """Laws 3 and 7: no VIN, plate, name, number, file name, moment or true place of the drive."""
    names = dossiers.issued[mode, Edition.FULL].files
    # Each piece once: what is between quotes, tags or line ends of all forms of both editions together.
    pieces = {
        piece
        for edition in Edition
        for name in names
        # Reading a PDF back takes seconds: the recipient's says nothing that the full one does not.
        if edition is Edition.FULL or not name.endswith(".pdf")
        for piece in re.split(r'["<>\n]', dossiers.text(mode, edition, name))
    }
    said = "\n".join(sorted(pieces))
    assert search(said.encode(), needles(), least=LONG) == []
    fixes = dossiers.drives[mode].fixes
    places = {f"{value:.{digits}f}" for fix in fixes for value in fix for digits in (4, 5, 6, 7)}
    assert not places & set(re.findall(r"\d{2,3}\.\d{4,}", said))


def test_the_search_can_fail(dossiers):
    drive = dossiers.drives[ReleaseMode.OFFSET]
    planted = b"<p>" + "京A88F72".encode() + f"{drive.fixes[0][0]:.6f}".encode()
    assert search(planted, needles(), least=LONG)


@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_the_recipients_edition_joins_nothing(dossiers, mode):
    """Law 7: what two releases may share, such as recordings and sources, stands in the full edition alone."""
    full = dossiers.issued[mode, Edition.FULL].files
    twin = json.loads(full["dossier.json"])
    joining = {VEHICLE, *(item["recording"]["id"] for item in twin["lineage"])}
    joining |= {item["recording"]["item"] for item in twin["lineage"]}
    joining |= {s["evidence"] for item in twin["lineage"] for s in item["stages"]}
    joining -= {
        s["evidence"] for i in twin["lineage"] for s in i["stages"] if s["stage"] in {"built", "judged"}
    }
    joining |= set(twin["zone_files"])
    licence = json.loads(dossiers.issued[mode, Edition.RECIPIENT].files["dossier.json"])["licence"]
    assert twin["licence"].keys() - licence.keys() == {"units", "delegations"}
    assert all(each.encode() in full["dossier.json"] for each in joining)
    for name in dossiers.issued[mode, Edition.RECIPIENT].files:
        said = dossiers.text(mode, Edition.RECIPIENT, name)
        assert [each for each in joining if each in said] == [], name


@pytest.mark.parametrize("language", list(Language))
def test_each_document_says_what_a_regulator_asks_for(dossiers, language):
    """COMPLIANCE.md §4: hashes, lineage, rules with clauses, models, approvers, recipient, purpose, proofs."""
    issued = dossiers.issued[ReleaseMode.OFFSET, Edition.FULL]
    twin = json.loads(issued.files["dossier.json"])
    pdf, page = (
        re.sub(r"\s", "", dossiers.text(ReleaseMode.OFFSET, Edition.FULL, f"dossier.{language.value}.{form}"))
        for form in ("pdf", "html")
    )
    models = [model["sha256"] for each in twin["detection"] for model in each["detectors"]]
    papers = [
        each for name in ("contracts", "inspections", "assessments") for each in twin["oversight"][name]
    ]
    assert [len(twin["oversight"][name]) for name in ("contracts", "inspections", "assessments")] == [1, 1, 3]
    words = Words(language)
    for said in (
        twin["release"]["id"], twin["release"]["digest"], RECIPIENT, PURPOSE, CERTIFICATE,
        "甲级", UNIT, twin["licence"]["document_digest"], *(each["document"] for each in papers),
        *(str(each["entry"]) for each in papers), "C-1", "pia-1", "provision-1", "dpia-1",
        *(item["sha256"] for item in twin["items"]), *models, twin["decision"]["bundle_digest"],
        *(item["recording"]["id"] for item in twin["lineage"]), *(a["approver"] for a in twin["approvals"]),
        *(a["thumbprint"] for a in twin["approvals"]), twin["checkpoint"]["root"],
        "release/faces_plates_masked", "publish/enough_approvers", twin["quality"]["sample"],
        words("q.standing.reached"), words("attack_none"),
    ):  # fmt: skip
        assert re.sub(r"\s", "", said) in pdf, said
        assert re.sub(r"\s", "", said) in page, said
    assert models
    assert {rule["rule"] for rule in twin["decision"]["rules"]} >= {"no_export", "approvals_signed"}
    assert all(rule["clause"] for rule in twin["decision"]["rules"])
    assert "position.offset_min_shift_m" in twin["decision"]["unverified"]
    assert len(twin["approvals"]) == 2
    assert twin["quality"]["reviewed"] == twin["quality"]["sampled"] > 0
    assert twin["grants"][0]["principal"] == "engineer"


def test_the_map_is_of_released_coordinates_and_coarse(dossiers):
    """An offset area is cells of half a kilometre; a LOCAL one has no place at all."""
    offset = json.loads(dossiers.issued[ReleaseMode.OFFSET, Edition.FULL].files["dossier.json"])["area"]
    assert offset["kind"] == "grid"
    assert offset["cell_deg"] >= 0.005
    assert 1 < len(offset["cells"]) < 100
    local = json.loads(dossiers.issued[ReleaseMode.LOCAL, Edition.FULL].files["dossier.json"])["area"]
    assert local["kind"] == "local"
    assert all(set(clip) == {"width_m", "height_m", "fixes"} for clip in local["clips"])
    assert all(max(clip["width_m"], clip["height_m"]) <= 300 for clip in local["clips"])


class Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("language", list(Language))
def test_html_is_one_accessible_file_without_script(dossiers, language):
    page = dossiers.issued[ReleaseMode.OFFSET, Edition.FULL].files[f"dossier.{language.value}.html"].decode()
    outline = Outline()
    outline.feed(page)
    tags = [tag for tag, _ in outline.tags]
    assert outline.tags[0] == ("html", {"lang": language.tag})
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(tags)
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\(|@import|\bon\w+=""", page)
    assert (tags.count("h1"), tags.count("main")) == (1, 1)
    assert tags.count("caption") == tags.count("table")
    assert [a for tag, a in outline.tags if tag == "th" and "scope" not in a] == []
    drawings = [attributes for tag, attributes in outline.tags if tag == "svg"]
    assert drawings
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)
    assert "@page" in page


@pytest.mark.parametrize("language", list(Language))
def test_pdf_is_tagged_numbered_and_dated_by_the_ledger(dossiers, language):
    issued = dossiers.issued[ReleaseMode.OFFSET, Edition.FULL]
    reader = PdfReader(io.BytesIO(issued.files[f"dossier.{language.value}.pdf"]))
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert str(reader.trailer["/Root"]["/Lang"]).startswith(language.value)
    xmp = reader.trailer["/Root"]["/Metadata"].get_data().decode()
    assert "pdfuaid" in xmp
    assert "pdfaid" in xmp
    as_of = json.loads(issued.files["dossier.json"])["checkpoint"]["as_of"]
    assert reader.metadata.creation_date.isoformat()[:19] == as_of[:19]
    count = len(reader.pages)
    for number, page in enumerate(reader.pages, start=1):
        assert f"{number} / {count}" in page.extract_text()
        for font in page["/Resources"]["/Font"].values():
            described = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(described)


def test_provenance_leads_from_each_item_to_its_recording(dossiers):
    """Law 10, for other systems: PROV-JSON and OpenLineage name every released item and its source."""
    files = dossiers.issued[ReleaseMode.OFFSET, Edition.FULL].files
    twin, prov, run = (json.loads(files[name]) for name in ("dossier.json", "prov.json", "openlineage.json"))
    derived = {d["prov:generatedEntity"]: d["prov:usedEntity"] for d in prov["wasDerivedFrom"].values()}
    held = {m["prov:entity"]: m["prov:collection"] for m in prov["hadMember"].values()}
    for item in twin["items"]:
        source = derived[f"fg:item:{item['sha256']}"]
        assert held[source].startswith("fg:recording:")
    for kind in ("used", "wasAssociatedWith", "wasGeneratedBy"):
        for relation in prov[kind].values():
            for role, name in relation.items():
                if role != "prov:role":
                    assert name in prov[role.removeprefix("prov:")], name
    assert [output["name"] for output in run["outputs"]] == [item["name"] for item in twin["items"]]
    assert len(run["inputs"]) == len(twin["lineage"])


def test_every_word_exists_in_both_languages():
    document = yaml.safe_load(files("gateway.dossier").joinpath("words.yaml").read_text("utf-8"))
    for key, said in document["words"].items():
        assert set(said) == {"zh", "en"}, key
        assert all(said.values()), key
        places = [set(re.findall(r"\{(\w+)\}", said[language])) for language in ("zh", "en")]
        assert places[0] == places[1], key
