package fleetgate.serve

# METADATA
# title: The ledger can be written; otherwise nothing is served
# description: 审计账本不可写则停止服务
# custom:
#   number: 27, law 2
#   clause: DESIGN.md §3 law 2; GB/T 22239 第三级
#   confidence: M
passed contains "ledger_available" if input.context.ledger_available == true

facts contains {"rule": "ledger_available", "fact": {"available": input.context.ledger_available}}
