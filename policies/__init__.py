"""The rules of the gate as Rego, the dated legal data behind them, and the engines that judge."""
