package fleetgate.log

# METADATA
# title: Detail outside the entries is sealed in an admitted suite
# description: 日志之外的明细须以许可套件加密封存
# custom:
#   number: 28, law 9
#   clause: GB/T 39786 第三级; DESIGN.md §3 law 9
#   confidence: M
passed contains "detail_sealed" if input.resource.detail_suite in law_suites

facts contains {"rule": "detail_sealed", "fact": {"suite": input.resource.detail_suite}}
