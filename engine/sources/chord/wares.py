"""What the sandbox's little shop sells, from where and to whom, and how its parcels travel. All of it is made up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Product:
    """One thing to buy. `cents` is its price; a bundle's SKU joins several with `|`; `weight` is how well it sells."""

    name: str
    sku: str
    cents: int
    weight: int
    subscribable: bool = False
    backorderable: bool = False
    master: bool = False

    @property
    def bundle(self) -> bool:
        """Whether it is several products under one price."""
        return "|" in self.sku


PRODUCTS = (
    Product("House coffee, 1 kg", "coffee-house-1kg", 3250, 14, subscribable=True, backorderable=True),
    Product("Decaf coffee, 250 g", "coffee-decaf-250", 1180, 6, subscribable=True),
    Product("Mint tea, 100 g", "tea-mint-100", 890, 9, subscribable=True),
    Product("Cedar candle, 220 g", "candle-cedar-220", 2400, 10),
    Product("Olive soap, three bars", "soap-olive-3", 1650, 9, subscribable=True),
    Product("Linen tea towel, natural", "towel-linen-natural", 1800, 8),
    Product('Notebook A5, dotted, "field"', "notebook-a5-dotted", 1495, 7),
    Product("Oak & ash board, large", "board-oak-large", 8900, 5, master=True),
    Product("Clay vase, tall", "vase-clay-tall", 6400, 4, master=True),
    Product("Wool blanket, grey", "blanket-wool-grey", 14900, 4),
    Product("Brass desk lamp", "lamp-brass-desk", 21900, 3, backorderable=True),
    Product("Ash dining chair", "chair-ash-dining", 38500, 2, backorderable=True),
    Product(
        "Sunday morning kit",
        "coffee-house-1kg|candle-cedar-220|towel-linen-natural",
        6800,
        5,
        subscribable=True,
    ),
    Product("Kitchen sink set", "soap-olive-3|towel-linen-natural", 3100, 4),
)

LOCATIONS = ("Albany warehouse", "Reno warehouse", "Hudson shop floor")

CHANNELS = {"chord": 82, "app": 9, "marketplace": 5, "wholesale": 4}
"""Where orders are placed, and how many of a hundred."""

PAYMENT_METHODS = {"Stripe": 80, "PayPal": 15, "Gift card": 5}


@dataclass(frozen=True, slots=True)
class Place:
    """A town that parcels go to. `tax` is the rate in thousandths of a percent; `code` names it on the tax's label.

    Outside the United States a region may have no entry in the OMS's list: it is then typed in (`typed`).
    """

    city: str
    zipcode: str
    state: str | None
    code: str
    tax: int
    country: str = "United States"
    typed: str | None = None


PLACES = (
    Place("Albany", "12207", "New York", "NY", 6250),
    Place("Buffalo", "14203", "New York", "NY", 6250),
    Place("Portland", "97209", "Oregon", "OR", 0),
    Place("Austin", "78702", "Texas", "TX", 6250),
    Place("Denver", "80205", "Colorado", "CO", 2900),
    Place("Seattle", "98103", "Washington", "WA", 6500),
    Place("Chicago", "60614", "Illinois", "IL", 6250),
    Place("Madison", "53703", "Wisconsin", "WI", 5000),
    Place("Savannah", "31401", "Georgia", "GA", 4000),
    Place("Boston", "02116", "Massachusetts", "MA", 6250),
    Place("San Diego", "92104", "California", "CA", 7250),
    Place("Nashville", "37206", "Tennessee", "TN", 7000),
    Place("Toronto", "M5V 2T6", "Ontario", "ON", 0, "Canada"),
    Place("Canterbury", "CT1 2HX", None, "", 0, "United Kingdom", "Kent"),
)

FIRST_NAMES = (
    "Amara", "Ben", "Chloé", "Dario", "Elif", "Femi", "Grace", "Hana", "Ivo", "Jun", "Katya", "Liam", "Mónica",
    "Noor", "Oscar", "Priya", "Quinn", "Rosa", "Søren", "Tamsin", "Uma", "Viktor", "Wren", "Yusuf", "Zoë",
)  # fmt: skip
LAST_NAMES = (
    "Abara", "Brandt", "Castellano", "Dvořák", "Eriksen", "Fairweather", "Gupta", "Hollis", "Ibarra", "Jansen",
    "Kowalski", "Lindqvist", "Moreau", "Nakamura", "O'Neill", "Petrov", "Quispe", "Rahman", "St. Clair", "Tanaka",
    "Underhill", "Vega", "Whitlock", "Yilmaz", "Zhou",
)  # fmt: skip
STREETS = (
    "Orchard Street",
    "Mill Lane",
    "Cedar Avenue",
    "Harbor Road",
    "Station Street",
    "Quarry Hill",
    "Elm Court",
)
COMPANIES = ("Corner & Co.", "Fern Hotel", "Paper <Kite> Studio")

PROMOTIONS = {"SPRING10": 10, "HELLO15": 15, "FRIENDS": 25, "STAFF50": 50}
"""Codes for a part of the whole order, in percent."""

PROMOTIONS_USED = {"SPRING10": 60, "HELLO15": 30, "FRIENDS": 5, "STAFF50": 5}
"""How often each is used, of a hundred."""

KNOWN_BY_NAME = {
    "maya.lindqvist@example.com": ("Maya", "Lindqvist"),
    "ben@example.com": ("Ben", "Hollis"),
    "ana@shop.example": ("Ana", "Vega"),
}
"""Regular customers that rules may speak of; the last one works in the shop."""

_HUBS = "in_transit/departed_origin_facility in_transit/arrived_at_facility in_transit/departed_facility"
_START = "pre_transit/label_created in_transit/received_at_origin_facility"
_LAST_MILE = "in_transit/received_at_destination_facility out_for_delivery/out_for_delivery"
_DONE = "delivered/arrived_at_destination"

JOURNEYS = {
    f"{_START} {_HUBS} {_LAST_MILE} {_DONE}": 52,
    f"{_START} in_transit/status_update {_LAST_MILE} {_DONE}": 20,
    f"unknown/unknown {_START} in_transit/transferred_to_destination_carrier {_LAST_MILE} {_DONE}": 6,
    f"{_START} {_HUBS} available_for_pickup/arrived_at_pickup_location {_DONE}": 6,
    f"{_START} in_transit/weather_delay in_transit/delayed {_LAST_MILE} {_DONE}": 5,
    f"{_START} {_LAST_MILE} failure/delivery_exception {_LAST_MILE} {_DONE}": 3,
    f"{_START} in_transit/missorted in_transit/transit_exception {_HUBS} {_LAST_MILE} {_DONE}": 2,
    f"{_START} {_LAST_MILE} failure/address_correction in_transit/awaiting_information {_LAST_MILE} {_DONE}": 2,
    f"{_START} {_LAST_MILE} failure/refused return_to_sender/return": 1,
    f"{_START} in_transit/held return_to_sender/return": 1,
    f"{_START} {_HUBS} failure/damaged": 1,
    f"{_START} {_HUBS} in_transit/lost error/expired": 1,
}
"""What a carrier's tracker says of a parcel, step by step, and how many parcels of a hundred travel so."""

SCANS = frozenset(
    {
        "departed_origin_facility",
        "arrived_at_facility",
        "departed_facility",
        "received_at_destination_facility",
        "transferred_to_destination_carrier",
        "status_update",
    }
)
"""Details that only tell of one more scan on the way, not of another status."""

SENTENCES = {
    "label_created": "Shipping label created, carrier awaiting item",
    "status_update": "Your item is on its way",
    "unknown": "No information yet",
    "received_at_origin_facility": "Accepted at origin facility",
    "arrived_at_destination": "Delivered",
    "weather_delay": "Delayed by weather, delivery may take a day longer",
    "delivery_exception": "Delivery attempted, no access to the address",
    "address_correction": "Address incomplete, the apartment number is missing",
    "refused": "Refused by the recipient",
    "damaged": "Package damaged, contents <inspected> & discarded",
    "lost": "Package cannot be located",
    "held": "Held at the facility: customs & duties unpaid",
}
"""The carrier's own sentences, where they are more than the detail's name."""
