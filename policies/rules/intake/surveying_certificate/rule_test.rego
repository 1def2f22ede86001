package fleetgate_test.intake.surveying_certificate

import data.examples.intake as base
import data.fleetgate.intake

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "surveying_certificate" in intake.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes carrier": {"passes": true, "question": base.carrier},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate", "value": null}])},
	"denies: certificate has expired": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-02T09:59:59Z"}])},
	"denies: recording began before the certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/started_at", "value": "2024-12-31T23:59:59Z"}])},
	"denies: recording ended after the certificate though it is plausible": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-01T09:00:00Z"}])},
	"denies: region outside the certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/region", "value": "440305"}])},
	"denies: certificate of another kind": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/kinds", "value": ["engineering_survey"]}])},
	"denies: certificate without regions": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/regions", "value": []}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.carrier, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
	"denies without context.certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate"}])},
	"denies without context.certificate.valid_from": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate/valid_from"}])},
	"denies without context.certificate.valid_to": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate/valid_to"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without resource.ended_at": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/ended_at"}])},
	"denies without resource.region": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/region"}])},
	"denies without resource.started_at": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/started_at"}])},
}
