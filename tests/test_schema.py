"""The schema as clients' libraries read it."""

import graphql

from loket.api.schema import sdl

SDL = graphql.build_schema(sdl())


def test_whatever_has_an_id_is_a_node_of_its_own() -> None:
    """Clients keep objects by their `id` (Relay, Apollo): two of one id would be mixed up."""
    node = SDL.type_map["Node"]
    kinds = [kind for kind in SDL.type_map.values() if isinstance(kind, graphql.GraphQLObjectType)]
    with_id = [kind for kind in kinds if "id" in kind.fields]
    assert len(with_id) > 10
    assert [kind.name for kind in with_id if node not in kind.interfaces] == []
