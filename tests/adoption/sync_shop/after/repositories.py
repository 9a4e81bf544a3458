"""The repositories of the shop: the same classes on a session and on a Database."""

from layerkit import Repository
from tests.adoption.sync_shop.models import Customer, Order, Product


class CustomerRepository(Repository[Customer, int]): ...


class ProductRepository(Repository[Product, int]): ...


class OrderRepository(Repository[Order, int]): ...
