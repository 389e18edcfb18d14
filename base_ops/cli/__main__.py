from base_ops.cli import main

main()
