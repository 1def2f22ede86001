package fleetgate_test.release.surveying_certificate

import data.examples.release as base
import data.fleetgate.release

test_every_case if {
	count(cases) > 0
	count(failed) == 0
}

failed contains name if {
	some name, case in cases
	passes := "surveying_certificate" in release.passed with input as case.question
	passes != case.passes
}

cases := {
	"passes local": {"passes": true, "question": base.local},
	"passes offset": {"passes": true, "question": base.offset},
	"passes approved": {"passes": true, "question": base.approved},
	"passes public": {"passes": true, "question": base.public},
	"passes eu": {"passes": true, "question": base.eu},
	"denies: certificate has expired": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/certificate/valid_to", "value": "2026-05-01T00:00:00Z"}])},
	"denies: one recording outside the certificate's regions": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/recordings/1/region", "value": "310115"}])},
	"denies: no certificate": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/certificate", "value": null}])},
	"passes: delegated": {"passes": true, "question": json.patch(base.delegated, [{"op": "replace", "path": "/context/delegations/0/vehicles", "value": ["disk-3"]}])},
	"denies: unit of one recording holds no licence": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/resource/recordings/1/unit", "value": "oem-1"}])},
	"denies: suspended while one drive went on": {"passes": false, "question": json.patch(base.local, [{"op": "replace", "path": "/context/certificate/interruptions", "value": [{"kind": "suspended", "from": "2026-04-02T08:30:00Z", "to": "2026-04-03T00:00:00Z"}]}])},
	"denies without context.delegations": {"passes": false, "question": json.patch(base.delegated, [{"op": "remove", "path": "/context/delegations"}])},
	"denies without context.certificate": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/certificate"}])},
	"denies without context.profile.jurisdiction": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/context/profile/jurisdiction"}])},
	"denies without resource.recordings": {"passes": false, "question": json.patch(base.local, [{"op": "remove", "path": "/resource/recordings"}])},
}
