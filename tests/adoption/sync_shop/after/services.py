"""The rules of the shop, each operation one transaction."""

from layerkit import BaseService, ConflictError, Inc, field
from tests.adoption.sync_shop.after.repositories import (
    CustomerRepository,
    OrderRepository,
    ProductRepository,
)
from tests.adoption.sync_shop.errors import ShopError, absent, out_of_stock
from tests.adoption.sync_shop.models import Customer, Order, OrderLine, Product
from tests.adoption.sync_shop.schemas import CustomerIn, LineIn, OrderIn


class CustomerService(BaseService[Customer, int]):
    async def register(self, body: CustomerIn) -> Customer:
        return await self.create_entity(
            Customer(email=body.email.lower(), name=body.name)
        )


class ProductService(BaseService[Product, int]):
    async def view(self, product_id: int) -> Product:
        return await self.update_entity(product_id, {"views": Inc(1)})


class OrderService(BaseService[Order, int]):
    def __init__(
        self,
        orders: OrderRepository,
        customers: CustomerRepository,
        products: ProductRepository,
    ) -> None:
        super().__init__(orders)
        self.orders, self.customers, self.products = orders, customers, products

    async def place(self, body: OrderIn) -> Order:
        async with self.unit_of_work():
            if not await self.customers.exists(body.customer_id):
                raise absent("customer", body.customer_id)
            lines = [await self._take(line) for line in body.lines]
            total = sum(line.quantity * line.price for line in lines)
            order = Order(customer_id=body.customer_id, lines=lines, total=total)
            return await self.orders.create(order)

    async def _take(self, line: LineIn) -> OrderLine:
        product = await self.products.get_by_id(line.product_id)
        if product is None:
            raise absent("product", line.product_id)
        try:
            await self.products.update(
                line.product_id,
                {"stock": Inc(-line.quantity)},
                when=field("stock") >= line.quantity,
            )
        except ConflictError as error:
            raise out_of_stock(product.sku) from error
        return OrderLine(**line.model_dump(), price=product.price)

    async def cancel(self, order_id: int) -> Order:
        async with self.unit_of_work():
            order = await self.orders.get_by_id(order_id, lock="wait")
            if order is None:
                raise absent("order", order_id)
            if order.status != "placed":
                raise ShopError(
                    409, "not_placed", f"order {order_id} is {order.status}"
                )
            order.status = "cancelled"
            for line in order.lines:
                await self.products.update(
                    line.product_id, {"stock": Inc(line.quantity)}
                )
            return order
