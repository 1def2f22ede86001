package fleetgate.serve

# METADATA
# title: The release manifest's signature verifies
# description: 发布清单签名须已验证
# custom:
#   number: 5, law 6
#   clause: DESIGN.md §3 law 6; GB/T 39786
#   confidence: M
passed contains "manifest_verified" if input.resource.manifest_signature_verified == true

facts contains {"rule": "manifest_verified", "fact": {"verified": input.resource.manifest_signature_verified}}
