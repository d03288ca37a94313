"""A model for each kind of element that is not simulated; the documentation's table is made from them too."""

LIMB = '<body><joint name="j"/><geom name="g" size="1"/><site name="s"/></body>'
TWO = (
    '<body name="p"><joint name="j"/><geom name="g" size="1"/><site name="s"/></body>'
    '<body name="q" pos="5 0 0"><joint name="k"/><geom name="h" size="1"/><site name="t"/></body>'
)
BOXES = TWO.replace('size="1"', 'type="box" size="1 1 1"')
TENDON = '<tendon><fixed name="cord" {}><joint joint="j" coef="1"/></fixed></tendon>'


def document(body: str, rest: str = "", option: str = "") -> str:
    return f"<mujoco><option {option}/><worldbody>{body}</worldbody>{rest}</mujoco>"


def with_joint(attributes: str) -> str:
    return document(f'<body><joint name="j" {attributes}/><geom size="1"/></body>')


def with_actuator(element: str, body: str = LIMB) -> str:
    return document(body, f"<actuator>{element}</actuator>")


# element of the message -> a model with that element and no other that is not supported
UNSUPPORTED = {
    "integrator 'discrete'": document(LIMB, option='integrator="discrete"'),
    "option flag sleep": "<mujoco><option><flag sleep='enable'/></option><worldbody>" + LIMB + "</worldbody></mujoco>",
    "joint 'j': polynomial stiffness": with_joint('stiffness="1 0.5"'),
    "joint 'j': polynomial damping": with_joint('damping="1 0.5"'),
    "joint 'j': springyield": with_joint('stiffness="1" springyield="0.3"'),
    "actuator 'a': gaintype pid": with_actuator('<pid name="a" joint="j" kp="1" input="pos"/>'),
    "actuator 'a': plugin": with_actuator('<plugin name="a" plugin="mujoco.pid" joint="j"/>').replace(
        "<worldbody>", '<extension><plugin plugin="mujoco.pid"/></extension><worldbody>'
    ),
    "actuator 'a': delay": with_actuator('<motor name="a" joint="j" delay="0.01" nsample="8"/>'),
    "actuator 'a': damping": with_actuator('<motor name="a" joint="j" damping="0.5"/>'),
    "actuator 'a': armature": with_actuator('<motor name="a" joint="j" armature="0.5"/>'),
    "tendon 'cord': springyield": document(LIMB, TENDON.format('stiffness="2" springyield="0.3"')),
    "tendon 'cord': actuatorfrcrange shared with an actuator of gear 0": document(
        LIMB,
        TENDON.format('actuatorfrclimited="true" actuatorfrcrange="-1 1"')
        + '<actuator><motor tendon="cord"/><motor tendon="cord" gear="0"/></actuator>',
    ),
    "geom adhesion with the option flags spring and damper disabled": document(
        '<geom size="1" adhesion="1"/><body pos="3 0 0"><freejoint/><geom size="1"/></body>',
        "<option><flag spring='disable' damper='disable'/></option>",
    ),
    "contact of geoms 'g' and 'h' (sphere and sdf)": document(
        '<geom name="g" type="sdf" mesh="ring"><plugin instance="ring"/></geom>'
        '<body><freejoint/><geom name="h" size="1"/></body>',
        '<asset><mesh name="ring"><plugin instance="ring"/></mesh></asset>',
    ).replace(
        "<worldbody>",
        '<extension><plugin plugin="mujoco.sdf.torus"><instance name="ring"><config key="radius1" value=".4"/>'
        '<config key="radius2" value=".1"/></instance></plugin></extension><worldbody>',
    ),
    "option flag override": document(LIMB, "<option><flag override='enable'/></option>"),
    "option flag diagexact": document(LIMB, "<option><flag diagexact='enable'/></option>"),
    "flex 'cloth'": document(
        '<flexcomp name="cloth" type="grid" count="2 2 1" spacing="1 1 1" radius="0.01" dim="2" mass="1">'
        '<contact contype="0" conaffinity="0" selfcollide="none"/></flexcomp>'
    ),
}
# Two bodies with geoms can collide: where that is not the point, switch contacts off.
WITHOUT_CONTACT = "<option><flag contact='disable'/></option>"


def unsupported_model(element: str) -> str:
    """The MJCF that has `element`, of `UNSUPPORTED`, and no other that is not simulated."""
    text = UNSUPPORTED[element]
    touches = element.startswith(("contact", "geom"))
    return text if touches else text.replace("<worldbody>", WITHOUT_CONTACT + "<worldbody>", 1)
