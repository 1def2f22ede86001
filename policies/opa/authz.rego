# METADATA
# title: Who may ask an OPA server of Fleetgate, and what
# description: |
#   The gate's token may ask for decisions, and may read the modules and the digest that the gate compares before its
#   first question. Nobody writes, nobody reads other data, and no token is stored here: the server is told the SHA-256
#   of the gate's in OPA_GATE_TOKEN_SHA256. Health is for everybody. 仅网关令牌可询问判定；任何人不得写入。
package system.authz

default allow := false

allow if {
	the_gate
	input.method == "POST"
	input.path == ["v1", "data", "fleetgate", input.path[3], "decision"]
	count(input.params) == 0
}

allow if {
	the_gate
	input.method == "POST"
	input.path == ["v1", "data", "fleetgate_bundle", "digest"]
	count(input.params) == 0
}

allow if {
	the_gate
	input.method == "GET"
	array.slice(input.path, 0, 2) == ["v1", "policies"]
}

allow if {
	input.method == "GET"
	input.path == ["health"]
}

the_gate if crypto.sha256(input.identity) == opa.runtime().env.OPA_GATE_TOKEN_SHA256
