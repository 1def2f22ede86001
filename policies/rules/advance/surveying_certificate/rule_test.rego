package fleetgate_test.advance.surveying_certificate

import data.examples.advance as base
import data.fleetgate.advance

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "surveying_certificate" in advance.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes vehicle": {"passes": true, "question": base.vehicle},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: no certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate", "value": null}])},
	"denies: certificate has expired": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-02T09:59:59Z"}])},
	"denies: recording began before the certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/started_at", "value": "2024-12-31T23:59:59Z"}])},
	"denies: recording ended after the certificate though it is plausible": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-01T09:00:00Z"}])},
	"denies: region outside the certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/region", "value": "440305"}])},
	"denies: certificate of another kind": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/kinds", "value": ["engineering_survey"]}])},
	"denies: certificate without regions": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/regions", "value": []}])},
	"denies: a clock before all law": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/time", "value": "2015-01-01T00:00:00Z"}])},
	"passes: delegated": {"passes": true, "question": json.patch(base.delegated, [{"op": "replace", "path": "/context/delegations/0/vehicles", "value": ["*"]}])},
	"denies: unit holds no licence": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/resource/unit", "value": "oem-1"}])},
	"denies: grade is not registered": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/grade", "value": null}])},
	"denies: grade B in a whole province": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/grade", "value": "B"}])},
	"denies: suspended": {"passes": false, "question": json.patch(base.vehicle, [{"op": "replace", "path": "/context/certificate/interruptions", "value": [{"kind": "suspended", "from": "2026-05-02T00:00:00Z", "to": "2030-01-01T00:00:00Z"}]}])},
	"denies: delegation of another vehicle": {"passes": false, "question": json.patch(base.delegated, [{"op": "replace", "path": "/context/delegations/0/vehicles", "value": ["vehicle-8"]}])},
	"denies without context.certificate.holder": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate/holder"}])},
	"denies without context.certificate.interruptions": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate/interruptions"}])},
	"denies without context.certificate.since": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate/since"}])},
	"denies without resource.unit": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/unit"}])},
	"denies without resource.vehicle": {"passes": false, "question": json.patch(base.delegated, [{"op": "remove", "path": "/resource/vehicle"}])},
	"denies without context.delegations": {"passes": false, "question": json.patch(base.delegated, [{"op": "remove", "path": "/context/delegations"}])},
	"denies without context.certificate": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate"}])},
	"denies without context.certificate.valid_from": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate/valid_from"}])},
	"denies without context.certificate.valid_to": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/certificate/valid_to"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without resource.ended_at": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/ended_at"}])},
	"denies without resource.region": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/region"}])},
	"denies without resource.started_at": {"passes": false, "question": json.patch(base.vehicle, [{"op": "remove", "path": "/resource/started_at"}])},
}
