"""The state of the tenant: what there is, what runs, and its clock."""
