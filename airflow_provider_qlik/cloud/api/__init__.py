"""What can be asked of Qlik Cloud: one function per operation, which describes a request and sends nothing."""
