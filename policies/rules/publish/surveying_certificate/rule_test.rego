package fleetgate_test.publish.surveying_certificate

import data.examples.publish as base
import data.fleetgate.publish

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "surveying_certificate" in publish.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes two_operators": {"passes": true, "question": base.two_operators},
	"passes one_operator": {"passes": true, "question": base.one_operator},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: the certificate has expired since": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-02T12:00:00Z"}])},
	"denies: the certificate is of another kind": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/certificate/kinds", "value": []}])},
	"denies: no certificate": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/context/certificate", "value": null}])},
	"denies: no recording": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/recordings", "value": []}])},
	"denies: unit of a recording holds no licence": {"passes": false, "question": json.patch(base.two_operators, [{"op": "replace", "path": "/resource/recordings/0/unit", "value": "oem-1"}])},
	"denies without resource.recordings": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/resource/recordings"}])},
	"denies without context.certificate": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/certificate"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.two_operators, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
}
