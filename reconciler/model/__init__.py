"""The words of the house as frozen values: no I/O, no clock, no database.

Every stage speaks in these and knows nothing of the other stages. Units are in the names: CPU is millicores,
memory is bytes, money is :class:`decimal.Decimal`, instants are aware datetimes in UTC.
"""
